import os
import sys
import time

import pytest

from gridward.bench import measure
from gridward.bench.measure import WrongResultError


def test_a_sleep_takes_as_long_as_it_sleeps() -> None:
    (one,) = measure.seconds_a_call(lambda: time.sleep(0.02), repeat=1)
    assert 0.02 <= one < 2


def test_short_actions_are_timed_over_many_calls_and_told_for_one() -> None:
    calls: list[int] = []
    times = measure.seconds_a_call(lambda: calls.append(1), repeat=2, at_least_s=0.001)
    assert len(times) == 2
    assert all(0 < one < 0.001 for one in times)
    assert len(calls) > 8


def test_a_summary_has_median_minimum_maximum_and_count() -> None:
    assert measure.summary([3.0, 1.0, 2.0]) == {"median": 2.0, "min": 1.0, "max": 3.0, "runs": 3}


def test_a_latency_has_median_and_99th_percentile() -> None:
    told = measure.latency([float(at) for at in range(101)])
    assert told == {"p50": 50.0, "p99": 99.0, "requests": 101}


def test_a_wrong_result_ends_the_measurement() -> None:
    measure.require(True, "never said")
    with pytest.raises(WrongResultError, match="two is not three"):
        measure.require(False, "two is not three")


def test_the_machine_says_what_it_is_and_how_loaded() -> None:
    told = measure.machine()
    assert told["cores"] >= 1
    assert told["memory_bytes"] > 2**28
    assert told["load_average_1m"] >= 0
    assert told["processor"]


def test_versions_name_what_was_measured() -> None:
    assert {"gridward", "torch", "numpy", "numba"} <= measure.versions().keys()


def test_the_peak_of_this_process_is_the_same_asked_as_another() -> None:
    other = measure.peak_rss_bytes_of(os.getpid())
    assert other is not None
    assert abs(other - measure.peak_rss_bytes()) <= 0.1 * other


def test_a_process_that_is_gone_has_no_peak() -> None:
    assert measure.peak_rss_bytes_of(2**30) is None


@pytest.mark.skipif(sys.platform != "linux", reason="Linux counts peaks anew")
def test_a_peak_counts_from_when_it_was_reset() -> None:
    held = bytearray(b"1") * (64 << 20)
    before = measure.peak_rss_bytes_of(os.getpid())
    del held
    measure.reset_peak(os.getpid())
    after = measure.peak_rss_bytes_of(os.getpid())
    assert before is not None
    assert after is not None
    assert before - after > 32 << 20
    measure.reset_peak(2**30)
