"""Timing that can be quoted: repeated runs after a warm-up, medians and minima, the machine beside them."""

import gc
import importlib.metadata
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

Line: TypeAlias = dict[str, Any]
Made = TypeVar("Made")

_PACKAGES: Final = ("gridward", "torch", "numpy", "numba", "cryptography", "fastapi", "uvicorn")


class WrongResultError(Exception):
    """What was to be timed computes something else than it should; its time would mean nothing."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line gives the benchmarks; each reads the ones that it names in the catalogue."""

    repeat: int = 5
    model: str = "lenet"
    batch: int = 1
    parties: int = 2
    link: str = "process"
    network: str = "none"
    device: str = "cpu"
    widths: str = "full"
    levels: int = 2
    operation: str = "all"
    threads: int = 1
    nodes: int = 2
    datasets: int = 100
    queries: int = 4
    requests: int = 10_000
    tune: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """One case of a benchmark: what was chosen, and what was measured. Units stand in the names."""

    case: Line
    measured: Line
    brief: tuple[str, ...] = ()
    """Where there are many cases: the fields that a table has room for, one row a case."""


def seconds_a_call(action: Callable[[], object], repeat: int, at_least_s: float = 0.02) -> list[float]:
    """Run short actions many times between two looks at the clock; returns the seconds of one, each run.

    The number of calls is doubled until one run takes ``at_least_s``; those runs are the warm-up.
    """
    calls = 1
    while _seconds_of(action, calls) < at_least_s:
        calls *= 2
    gc.collect()
    return [_seconds_of(action, calls) / calls for _ in range(repeat)]


def timed(work: Callable[[], Made]) -> tuple[Made, float]:
    """Do it once; give the result and the seconds it took."""
    began = time.perf_counter()
    made = work()
    return made, time.perf_counter() - began


def summary(times: list[float]) -> Line:
    """Median, minimum and count of a list of seconds."""
    return {"median": statistics.median(times), "min": min(times), "max": max(times), "runs": len(times)}


def latency(times: list[float]) -> Line:
    """Median, 99th percentile and count of the seconds of single requests; two at least."""
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    return {"p50": statistics.median(times), "p99": cuts[98], "requests": len(times)}


def require(holds: bool, fault: str) -> None:
    """Refuse to go on where a result is not what it must be; raises ``WrongResultError``."""
    if not holds:
        raise WrongResultError(fault)


def machine() -> Line:
    """What it ran on: processor, usable cores, memory in bytes, system, and the load when asked.

    ``load_average_1m`` counts what else ran within the last minute; times taken under a load above zero are
    worse than what the machine can do.
    """
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load_average_1m": os.getloadavg()[0],
    }


def versions() -> dict[str, str]:
    """Versions of what was measured."""
    return {name: importlib.metadata.version(name) for name in _PACKAGES}


def peak_rss_bytes() -> int:
    """Largest resident size of this process so far, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def peak_rss_bytes_of(pid: int) -> int | None:
    """Largest resident size of another process so far, bytes; None where the system does not say it."""
    return _memory_of(pid, "VmHWM:")


def reset_peak(pid: int) -> None:
    """Have a process's largest resident size counted from now on, where the system can (Linux)."""
    with suppress(OSError):
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def rss_bytes_of(pid: int) -> int | None:
    """Resident size of a process now, bytes; None where the system does not say it."""
    return _memory_of(pid, "VmRSS:")


def _memory_of(pid: int, field: str) -> int | None:
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return None
    found = [line for line in status.read_text().splitlines() if line.startswith(field)]
    return int(found[0].split()[1]) * 1024 if found else None


def _seconds_of(action: Callable[[], object], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        action()
    return time.perf_counter() - start


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor()
    names = [
        line.split(":", 1)[1].strip()
        for line in info.read_text().splitlines()
        if line.startswith("model name")
    ]
    return names[0] if names else platform.processor()
