"""What commands print."""

from collections.abc import Iterable, Sequence
from typing import Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

screen: Final = Console()
_errors: Final = Console(stderr=True)


def fail(text: str) -> typer.Exit:
    """Print one line of error and give the exit to raise."""
    line = Text.assemble(("error:", "bold red"), " ", _plain(" ".join(text.split())))
    _errors.print(line, highlight=False, soft_wrap=True)
    return typer.Exit(1)


def say(text: str) -> None:
    """Print a line as it is."""
    screen.print(_plain(text), highlight=False, soft_wrap=True)


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str) -> None:
    """Print a table, or a line where there is nothing."""
    grid = Table(*headings, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        grid.add_row(*(_plain(cell) for cell in row))
    if grid.row_count:
        screen.print(grid)
    else:
        say(empty)


def _plain(text: str) -> Text:
    """What others wrote must not steer the terminal."""
    return Text("".join(sign if sign.isprintable() or sign == "\n" else "\ufffd" for sign in text))
