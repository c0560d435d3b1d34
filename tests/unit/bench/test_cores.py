import os
import subprocess
import sys
from pathlib import Path

import pytest

from gridward.bench import cores


def test_parties_get_cores_of_their_own_or_none_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 7, 9})
    assert cores.places(2, 1) == [{3}, {5}]
    assert cores.places(2, 2) == [{3, 5}, {7, 9}]
    assert cores.places(3, 2) is None
    assert "everyone else on any core" in cores.as_line(3, 1)["pinned"]
    assert "shares the parties' cores" in cores.as_line(4, 1)["pinned"]
    assert cores.as_line(5, 1)["pinned"].startswith("nothing")


def test_a_process_is_bound_with_its_threads() -> None:
    core = frozenset([min(os.sched_getaffinity(0))])
    code = "import threading; threading.Thread(target=input).start(); print('up', flush=True)"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdin is not None
        process.stdout.readline()
        cores.pin(process.pid, core)
        tasks = [int(task.name) for task in Path(f"/proc/{process.pid}/task").iterdir()]
        assert len(tasks) == 2
        assert {frozenset(os.sched_getaffinity(task)) for task in tasks} == {core}
        process.stdin.write("\n")


def test_thread_pools_are_named_for_children_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    with cores.thread_pools(3):
        assert (os.environ["OMP_NUM_THREADS"], os.environ["NUMBA_NUM_THREADS"]) == ("3", "3")
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "NUMBA_NUM_THREADS" not in os.environ
