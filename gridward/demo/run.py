"""`gridward demo`: the three stories, by real processes over real HTTP on this machine."""

import signal
import time
from types import FrameType
from typing import Final, NoReturn

from rich.console import Console

from gridward.core.errors import GridError
from gridward.demo import encrypted, federated, statistics
from gridward.demo.grid import build
from gridward.demo.materials import digits
from gridward.demo.processes import Servers
from gridward.demo.stage import Stage

INTERRUPTED: Final = 130


def main() -> int:
    """Run the demo; returns the exit code. All its processes have ended when it returns."""
    console = Console(soft_wrap=True)
    before = signal.signal(signal.SIGTERM, _interrupt)
    began = time.monotonic()
    try:
        with Servers() as servers:
            _tell(console, servers)
    except KeyboardInterrupt:
        console.print("\nInterrupted; all processes have ended.")
        return INTERRUPTED
    except (GridError, AssertionError) as error:
        console.print(f"\n[red]The demo failed:[/] {type(error).__name__}: {error}", highlight=False)
        return 1
    finally:
        signal.signal(signal.SIGTERM, before)
    console.print(f"\nDone in {time.monotonic() - began:.0f} s; all processes have ended.")
    return 0


def _tell(console: Console, servers: Servers) -> None:
    with console.status("Starting a gateway and four nodes, each a process of its own …"):
        grid = build(servers)
    for server in servers.all:
        console.print(f"{server.kind:>10}  {server.name} at {server.url}", highlight=False)
    try:
        stage, images = Stage(console), digits()
        statistics.play(grid, stage)
        model = federated.play(grid, stage, images)
        encrypted.play(grid, stage, model, images)
    finally:
        grid.close()


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
