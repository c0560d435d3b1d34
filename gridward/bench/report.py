"""What a benchmark prints: one JSON object a case, or a table for people."""

import json
from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

from rich.console import Console
from rich.table import Table

from gridward.bench.measure import Line, Result

Cell: TypeAlias = tuple[str, object]

_TIMES: Final = ((1.0, 1.0, "s"), (1e-3, 1e3, "ms"), (0.0, 1e6, "µs"))
_SIZES: Final = ((1e9, 1e-9, "GB"), (1e6, 1e-6, "MB"), (1e3, 1e-3, "kB"), (0.0, 1.0, "B"))


def as_line(bench: str, result: Result, machine: Line, versions: dict[str, str]) -> str:
    """Write one case as JSON on one line."""
    whole = {"bench": bench, "case": result.case, **result.measured}
    return json.dumps(whole | {"machine": machine, "versions": versions}, allow_nan=False)


def show(console: Console, bench: str, results: Sequence[Result], machine: Line) -> None:
    """Print a table, one row a figure and one column a case; a single case says minimum and runs as well."""
    alone = len(results) == 1
    if results and results[0].brief:
        _show_rows(console, bench, results, machine)
        return
    cases = [dict(_cells(result.case)) for result in results]
    figures = [dict(_cells(result.measured)) for result in results]
    table = Table(box=None, pad_edge=False, show_header=False)
    for column in (cases, figures):
        for name in dict.fromkeys(name for cells in column for name in cells):
            row = [in_words(name, cells.get(name, ""), briefly=not alone) for cells in column]
            table.add_row(name, *row, style="cyan" if column is cases else None)
    console.print(f"[bold]{bench}[/]" + ("" if alone else ", medians"), highlight=False)
    console.print(table)
    _show_machine(console, machine)


def _show_rows(console: Console, bench: str, results: Sequence[Result], machine: Line) -> None:
    """Print one row a case, with the columns that it asks for."""
    table = Table(box=None, pad_edge=False)
    names = results[0].brief
    for name in names:
        table.add_column(name.removesuffix("_s").replace("_", " "))
    for result in results:
        cells = dict(_cells(result.case)) | dict(_cells(result.measured))
        table.add_row(*(in_words(name, cells.get(name, "-"), briefly=True) for name in names))
    console.print(f"[bold]{bench}[/], medians", highlight=False)
    console.print(table)
    _show_machine(console, machine)


def _show_machine(console: Console, machine: Line) -> None:
    console.print(
        f"{machine['processor']}, {machine['cores']} cores, {machine['system']}, Python {machine['python']}; "
        f"load average before the run {machine['load_average_1m']:.2f}",
        style="dim",
        highlight=False,
        soft_wrap=True,
    )


def in_words(name: str, value: object, *, briefly: bool = False) -> str:
    """Write a figure with its unit, which the last words of its name tell; ``briefly``: the median alone."""
    if isinstance(value, dict):
        return _spread(name, value, briefly=briefly)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, float | int):
        return str(value)
    if name.endswith("gmac_per_s"):
        return f"{value:.3g} GMAC/s"
    if name.endswith("_per_s"):
        return f"{value:,.0f}/s" if value >= 100 else f"{value:.3g}/s"
    if name.endswith("_s"):
        return _scaled(value, _TIMES)
    if "_bytes" in name:
        return _scaled(value, _SIZES)
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"


def _spread(name: str, spread: Line, *, briefly: bool) -> str:
    if "median" in spread:
        typical, rest = spread["median"], f"min {in_words(name, spread['min'])}, {spread['runs']} runs"
    else:
        typical, rest = spread["p50"], f"p99 {in_words(name, spread['p99'])}, {spread['requests']} requests"
    return in_words(name, typical) + ("" if briefly else f" ({rest})")


def _scaled(value: float, units: tuple[tuple[float, float, str], ...]) -> str:
    factor, unit = next((factor, unit) for least, factor, unit in units if abs(value) >= least)
    return f"{value * factor:,.4g} {unit}"


def _cells(fields: Line, prefix: str = "") -> Iterator[Cell]:
    for name, value in fields.items():
        if isinstance(value, dict) and not value.keys() & {"median", "p50"}:
            yield from _cells(value, f"{prefix}{name} ")
        else:
            yield prefix + name, value
