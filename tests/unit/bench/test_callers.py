import threading
import time

import pytest

from gridward.bench.callers import measure_calls


def test_every_call_of_every_run_is_counted_but_the_warm_up() -> None:
    calls: list[float] = []

    def call() -> None:
        calls.append(time.perf_counter())
        time.sleep(0.001)

    told = measure_calls(call, callers=2, requests=10, repeat=3)
    assert told["latency_s"]["requests"] == 30
    assert told["run_s"]["runs"] == 3
    assert len(calls) == 32
    assert told["requests_per_s"] == pytest.approx(10 / told["run_s"]["median"])


def test_callers_call_at_the_same_time() -> None:
    together = threading.Barrier(3, timeout=20)
    told = measure_calls(together.wait, callers=3, requests=6, repeat=1)
    assert told["latency_s"]["requests"] == 6


def test_a_call_that_fails_ends_the_measurement() -> None:
    def call() -> None:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        measure_calls(call, callers=1, requests=1, repeat=1)
