"""Which cores a measured process may use, so that "one core a party" is what runs and not only said."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from gridward.bench.measure import Line

_POOLS: Final = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def places(parties: int, threads: int) -> list[frozenset[int]] | None:
    """Give each party ``threads`` cores of its own; None where this machine has not so many."""
    cores = sorted(os.sched_getaffinity(0))
    if parties * threads > len(cores):
        return None
    return [frozenset(cores[at * threads : (at + 1) * threads]) for at in range(parties)]


def pin(pid: int, cores: frozenset[int]) -> None:
    """Bind a process with all threads that it has; threads that it starts later inherit it."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(task.name), cores)


def as_line(parties: int, threads: int) -> Line:
    """Say in a case what was pinned."""
    pinned = places(parties, threads)
    if pinned is None:
        return {"threads": threads, "pinned": "nothing: fewer cores than parties times threads"}
    rest = len(os.sched_getaffinity(0)) - parties * threads
    others = "everyone else on any core" if rest else "everyone else shares the parties' cores"
    return {"threads": threads, "pinned": f"each party to {threads} of its own, {others}"}


@contextmanager
def thread_pools(threads: int) -> Iterator[None]:
    """Have processes that start within the block make thread pools of this size."""
    before = {name: os.environ.get(name) for name in _POOLS}
    os.environ.update(dict.fromkeys(_POOLS, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
