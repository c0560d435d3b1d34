"""The demo as a newcomer runs it: what it prints, and that nothing of it stays behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.grids import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

MARK = "GRIDWARD_TEST_DEMO"


def processes(mark: str) -> list[int]:
    """Processes that inherited the mark, the demo itself included."""
    found = []
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            try:
                environment = (place / "environ").read_bytes()
            except OSError:
                continue  # it has just ended
            if f"{MARK}={mark}\0".encode() in environment:
                found.append(int(place.name))
    return found


@contextmanager
def demo(folder: Path) -> Iterator[tuple["subprocess.Popen[bytes]", Path, str]]:
    """Start the demo with its output in a file and its data under ``folder``."""
    mark, log = folder.name, folder / "log"
    (folder / "tmp").mkdir()
    with log.open("wb") as output:
        running = subprocess.Popen(
            [sys.executable, "-m", "gridward", "demo"],
            env=os.environ | {MARK: mark, "TMPDIR": str(folder / "tmp")},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield running, log, mark
    finally:
        for process in processes(mark):
            os.kill(process, signal.SIGKILL)
        running.wait()


def left_behind(mark: str, within_s: float = 20.0) -> list[int]:
    deadline = time.monotonic() + within_s
    while (left := processes(mark)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def test_the_demo_tells_three_stories_with_true_figures_and_leaves_nothing(tmp_path: Path) -> None:
    with demo(tmp_path) as (running, log, mark):
        assert running.wait(400) == 0, log.read_text()
        said = log.read_text()
        assert "3.86 kg, 49.48 cm" in said
        assert said.count("GetNotPermittedError") == 3
        assert "1022.000 encrypted, 1022.000 in the clear" in said
        assert "20 of 20 labels as in the clear" in said
        assert "all processes have ended" in said
        assert left_behind(mark, 0) == []
        assert list((tmp_path / "tmp").glob("gridward-*")) == []


def test_an_interrupted_demo_ends_all_its_processes(tmp_path: Path) -> None:
    with demo(tmp_path) as (running, log, mark):
        eventually(lambda: b"publishes" in log.read_bytes() or None, "the first story", 120)
        assert len(processes(mark)) >= 6
        running.send_signal(signal.SIGINT)
        assert running.wait(60) == 130, log.read_text()
        assert left_behind(mark, 0) == []
        assert list((tmp_path / "tmp").glob("gridward-*")) == []


def test_a_demo_that_fails_says_so_and_ends_all_its_processes(tmp_path: Path) -> None:
    with demo(tmp_path) as (running, log, mark):
        eventually(lambda: b"publishes" in log.read_bytes() or None, "the first story", 120)
        servers = [process for process in processes(mark) if process != running.pid]
        for process in servers:
            os.kill(process, signal.SIGKILL)
        assert running.wait(120) == 1, log.read_text()
        assert "The demo failed" in log.read_text()
        assert left_behind(mark, 0) == []


def test_a_killed_demo_takes_its_processes_with_it(tmp_path: Path) -> None:
    with demo(tmp_path) as (running, _log, mark):
        eventually(lambda: len(processes(mark)) >= 6 or None, "the servers", 120)
        running.kill()
        running.wait()
        assert left_behind(mark) == []
