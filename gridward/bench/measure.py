"""Timing that can be quoted: repeated runs after a warm-up, medians and minima, the machine beside them."""

import gc
import importlib.metadata
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

Line: TypeAlias = dict[str, Any]

_PACKAGES: Final = ("gridward", "torch", "numpy", "numba", "cryptography", "fastapi", "uvicorn")


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line gives every benchmark."""

    repeat: int = 5
    model: str = "lenet"
    batch: int = 1
    parties: int = 2
    threads: int = 1


def seconds(action: Callable[[], object], repeat: int, warm_up: int = 1) -> list[float]:
    """Run ``action`` after ``warm_up`` uncounted runs; returns the wall time of each counted run, seconds."""
    for _ in range(warm_up):
        action()
    gc.collect()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return times


def summary(times: list[float]) -> Line:
    """Median, minimum and count of a list of seconds."""
    return {"median": statistics.median(times), "min": min(times), "max": max(times), "runs": len(times)}


def machine() -> Line:
    """What it ran on: processor, usable cores, memory in bytes, system."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    """Versions of what was measured."""
    return {name: importlib.metadata.version(name) for name in _PACKAGES}


def peak_rss_bytes() -> int:
    """Largest resident size of this process so far, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = [
        line.split(":", 1)[1].strip()
        for line in info.read_text().splitlines()
        if line.startswith("model name")
    ]
    return names[0] if names else platform.processor()
