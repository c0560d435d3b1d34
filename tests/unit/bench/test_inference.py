import pytest

from gridward.bench import inference
from gridward.bench.measure import Options, WrongResultError

QUICK = Options(repeat=1, model="mlp")


def test_a_case_has_every_figure_of_its_form() -> None:
    (result,) = inference.run(QUICK)
    assert result.case == {"model": "mlp", "batch": 1, "parties": 2, "link": "process", "device": "cpu"}
    assert result.measured.keys() == {
        "online_s",
        "offline_s",
        "dealer_s",
        "rounds",
        "online_bytes_per_party",
        "dealer_bytes",
        "max_abs_err",
        "peak_rss_bytes",
    }
    assert result.measured["online_s"]["runs"] == 1
    assert 0 < result.measured["max_abs_err"] < inference.TOLERANCE


def test_an_answer_too_far_from_float_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "TOLERANCE", 1e-9)
    with pytest.raises(WrongResultError, match="from the one in the clear"):
        list(inference.run(QUICK))
