"""Progress of long work, shown only where a person looks: a terminal or a notebook."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn

Advance: TypeAlias = Callable[[float, str], None]


@contextmanager
def bar(
    what: str,
    total: float,
    *,
    in_bytes: bool = False,
    shown: bool | None = None,
    console: Console | None = None,
) -> Iterator[Advance]:
    """Yield ``advance(done, note)``, which sets what is done so far.

    ``shown`` None: only on a terminal or in a notebook.
    """
    screen = console or Console(stderr=True)
    visible = (screen.is_terminal or screen.is_jupyter) if shown is None else shown
    amount: ProgressColumn = (
        DownloadColumn() if in_bytes else TextColumn("{task.completed:.0f}/{task.total:.0f}")
    )
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        amount,
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=screen, disable=not visible, transient=False) as progress:
        task = progress.add_task(what, total=total, note="")
        yield lambda done, note: progress.update(task, completed=done, note=note)
