import json
import math
from io import StringIO

import pytest
from rich.console import Console

from gridward.bench import measure, report
from gridward.bench.measure import Result

SPREAD = {"median": 0.25, "min": 0.125, "max": 0.5, "runs": 3}
MACHINE = measure.machine()


def test_a_line_holds_bench_case_figures_machine_and_versions() -> None:
    result = Result({"batch": 1}, {"online_s": SPREAD, "rounds": 3})
    line = report.as_line("relu", result, MACHINE, {"numpy": "2"})
    assert "\n" not in line
    assert json.loads(line) == {
        "bench": "relu",
        "case": {"batch": 1},
        "online_s": SPREAD,
        "rounds": 3,
        "machine": MACHINE,
        "versions": {"numpy": "2"},
    }


def test_a_figure_that_json_has_not_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        report.as_line("relu", Result({}, {"speed": math.inf}), MACHINE, {})


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("online_s", 1.5, "1.5 s"),
        ("online_s", 0.0123, "12.3 ms"),
        ("overhead_per_step_s", 4.5e-05, "45 µs"),
        ("overhead_per_step_s", -4.5e-05, "-45 µs"),
        ("online_s", SPREAD, "250 ms (min 125 ms, 3 runs)"),
        ("latency_s", {"p50": 0.002, "p99": 0.004, "requests": 200}, "2 ms (p99 4 ms, 200 requests)"),
        ("dealer_bytes", 355_200, "355.2 kB"),
        ("peak_rss_bytes party", 539_300_000, "539.3 MB"),
        ("elements_per_s", 2_930_764.2, "2,930,764/s"),
        ("updates_per_s", 1.764, "1.76/s"),
        ("kernel_gmac_per_s", 3.3821, "3.38 GMAC/s"),
        ("rounds", 40, "40"),
        ("max_abs_err", 2.04e-05, "2.04e-05"),
        ("model", "lenet", "lenet"),
        ("reach_met", True, "yes"),
    ],
)
def test_a_figure_is_said_with_its_unit(name: str, value: object, words: str) -> None:
    assert report.in_words(name, value) == words


def test_a_single_case_says_minimum_and_runs_and_the_load() -> None:
    console = Console(width=100, record=True, file=StringIO())
    report.show(console, "relu", [Result({"parties": 2}, {"online_s": SPREAD})], MACHINE)
    said = console.export_text()
    assert "250 ms (min 125 ms, 3 runs)" in said
    assert f"load average before the run {MACHINE['load_average_1m']:.2f}" in said


def test_several_cases_stand_side_by_side_with_medians() -> None:
    console = Console(width=100, record=True, file=StringIO())
    results = [Result({"n": n}, {"online_s": SPREAD, "peak_rss_bytes": {"all": 2000}}) for n in (1, 2)]
    report.show(console, "relu", results, MACHINE)
    lines = [line.split() for line in console.export_text().splitlines()]
    assert ["n", "1", "2"] in lines
    assert ["online_s", "250", "ms", "250", "ms"] in lines
    assert ["peak_rss_bytes", "all", "2", "kB", "2", "kB"] in lines


def test_many_cases_stand_below_each_other_with_the_columns_they_ask_for() -> None:
    console = Console(width=100, record=True, file=StringIO())
    results = [
        Result({"n": n}, {"online_s": SPREAD, "met": n > 1, "rounds": 3}, ("n", "online_s", "met", "told"))
        for n in (1, 2)
    ]
    report.show(console, "reach", results, MACHINE)
    lines = [line.split() for line in console.export_text().splitlines()]
    assert ["n", "online", "met", "told"] in lines
    assert ["1", "250", "ms", "no", "-"] in lines and ["2", "250", "ms", "yes", "-"] in lines
    assert not any("rounds" in line for line in lines)
