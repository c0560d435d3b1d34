"""`gridward bench` and `python -m benchmarks`: list the benchmarks, run one, print what was measured."""

import argparse
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, Final

from rich.console import Console

from gridward.bench import measure, report
from gridward.bench.catalogue import BENCHES, FLAGS, Flag, options_of
from gridward.bench.measure import Options, Result, WrongResultError
from gridward.core.errors import GridError

FAILED: Final = 1
INTERRUPTED: Final = 130


def main(args: list[str]) -> int:
    """Run the command line ``args``; returns the exit code: 2 for wrong arguments, 1 for a failed run."""
    try:
        chosen = vars(_parser().parse_args(args))
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 0
    if chosen.pop("command") == "list":
        return _list()
    name, as_json = chosen.pop("name"), chosen.pop("json")
    given = {key: value for key, value in chosen.items() if value is not None}
    try:
        _run(name, options_of(BENCHES[name], given), as_json=as_json)
    except (GridError, WrongResultError) as why:
        Console(stderr=True).print(f"error: {why}", style="red", markup=False, highlight=False)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _list() -> int:
    width = max(map(len, BENCHES))
    for name, bench in BENCHES.items():
        sys.stdout.write(f"{name:<{width}}  {bench.summary}\n")
    return 0


def _run(name: str, options: Options, *, as_json: bool) -> None:
    run: Callable[[Options], Iterator[Result]] = import_module(BENCHES[name].module).run
    machine, versions = measure.machine(), measure.versions()
    if not as_json:
        console = Console()
        with console.status(f"Measuring {name} …"):
            results = list(run(options))
        report.show(console, name, results, machine)
        return
    for result in run(options):
        sys.stdout.write(report.as_line(name, result, machine, versions) + "\n")
        sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gridward bench", description="Measure on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="name all benchmarks")
    running = commands.add_parser("run", help="run one benchmark")
    names = running.add_subparsers(dest="name", required=True, metavar="NAME")
    for name, bench in BENCHES.items():
        one = names.add_parser(name, help=bench.summary, description=bench.summary, allow_abbrev=False)
        one.add_argument("--json", action="store_true", help="print one JSON object a case")
        for flag, default in bench.defaults.items():
            _add(one, FLAGS[flag], default)
    return parser


def _add(parser: argparse.ArgumentParser, flag: Flag, default: Any) -> None:  # noqa: ANN401 (of the flag's type)
    said = f"{flag.help} (default {default})"
    if flag.choices:
        parser.add_argument(f"--{flag.name}", choices=flag.choices, help=said)
    elif flag.file:
        parser.add_argument(f"--{flag.name}", metavar="FILE", help=said)
    else:
        parser.add_argument(f"--{flag.name}", type=_number(flag), metavar="N", help=said)


def _number(flag: Flag) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not flag.low <= int(text) <= flag.high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {flag.low} to {flag.high}")
        return int(text)

    return read
