"""Many calls at once on one server, from threads of this process, and how long each took."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from gridward.bench.measure import Line, latency, summary


def measure_calls(call: Callable[[], object], callers: int, requests: int, repeat: int) -> Line:
    """Make ``requests`` calls, ``callers`` at a time, ``repeat`` times after a warm-up of a tenth.

    ``latency_s`` is over the calls of all runs; ``run_s`` is the wall time of one run, and requests a second
    follow from its median. The callers share this process and its one interpreter lock: what they take is in
    the figures.
    """
    with ThreadPoolExecutor(callers) as pool:

        def timed(_: int) -> float:
            began = time.perf_counter()
            call()
            return time.perf_counter() - began

        list(pool.map(timed, range(max(callers, requests // 10))))
        runs, times = [], []
        for _ in range(repeat):
            began = time.perf_counter()
            times += list(pool.map(timed, range(requests)))
            runs.append(time.perf_counter() - began)
    spread = summary(runs)
    return {"requests_per_s": requests / spread["median"], "latency_s": latency(times), "run_s": spread}
