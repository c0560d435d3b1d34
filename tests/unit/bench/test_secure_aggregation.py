import pytest

from gridward.bench import secure_aggregation
from gridward.bench.measure import Options, WrongResultError
from gridward.core.smpc.quantised import Slot, Terms, words_of


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    slots = (Slot("update", True, (20_000,)),)
    monkeypatch.setattr(secure_aggregation, "PARAMETERS", 20_000)
    monkeypatch.setattr(secure_aggregation, "SLOTS", slots)
    monkeypatch.setattr(secure_aggregation, "SPAN", range(words_of(slots)))


def test_a_node_is_measured_with_few_and_with_most_aggregators() -> None:
    results = list(secure_aggregation.run(Options(nodes=3, repeat=1)))
    assert [result.case["aggregators"] for result in results] == [2, 8]
    for result in results:
        assert 1 < result.measured["contributed_over_plain"] < 1.1
        assert result.measured["largest_error"] <= result.measured["stated_error"]
        assert result.measured["work_cpu_s"] > 0


def test_a_wrong_sum_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Terms, "error", lambda *_: 0.0)
    with pytest.raises(WrongResultError, match="off by"):
        list(secure_aggregation.run(Options(nodes=2, repeat=1)))
