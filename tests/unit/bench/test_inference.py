from dataclasses import replace

import numpy as np
import pytest

from gridward.bench import inference
from gridward.bench.measure import Options, WrongResultError

QUICK = Options(repeat=1, model="mlp")
FIGURES = {
    "levels",
    "online_s",
    "protocol_s",
    "offline_s",
    "dealer_s",
    "load_s",
    "rounds",
    "online_bytes_per_party",
    "dealer_bytes",
    "max_abs_err",
    "max_abs_err_fixed",
    "peak_rss_bytes",
}


def test_a_case_has_every_figure_of_its_form() -> None:
    (result,) = inference.run(QUICK)
    assert result.case == {
        "model": "mlp",
        "batch": 1,
        "parties": 2,
        "link": "process",
        "device": "cpu",
        "widths": "full",
        "threads": "the parties are threads of one process",
        "network": "this machine",
    }
    assert result.measured.keys() == FIGURES
    assert result.measured["online_s"]["runs"] == 1
    assert 0 < result.measured["max_abs_err"] < inference.TOLERANCE


def test_processes_count_at_the_socket_and_tell_their_memory() -> None:
    (result,) = inference.run(Options(repeat=1, model="mlp", link="sockets", parties=3, network="lan"))
    told = result.measured
    assert told["written_bytes_per_party"] - told["online_bytes_per_party"] == (8 + 8) * told["rounds"] * 2
    assert result.case["network"]["one_way_delay_s"] == 0.0001
    assert told["online_s"]["min"] > told["rounds"] * 0.0001
    assert 0 < told["start_rss_bytes"] <= told["peak_rss_bytes"]["party"]
    assert told["live_bytes"] > 8 * 118_282


def test_calibrated_networks_answer_right_for_fewer_bytes_and_guards_for_more_of_the_dealers() -> None:
    told = {}
    for widths in ("full", "calibrated", "guarded"):
        (result,) = inference.run(replace(QUICK, widths=widths, levels=1))
        assert result.case["widths"] == widths
        told[widths] = result.measured
    full, calibrated, guarded = told.values()
    assert calibrated["online_bytes_per_party"] < full["online_bytes_per_party"]
    assert guarded["online_bytes_per_party"] == calibrated["online_bytes_per_party"]
    assert calibrated["dealer_bytes"] < guarded["dealer_bytes"] < full["dealer_bytes"]


def test_an_answer_too_far_from_float_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "TOLERANCE", 1e-9)
    with pytest.raises(WrongResultError, match="from the one in the clear"):
        list(inference.run(QUICK))


def test_an_answer_one_unit_off_the_reference_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    right = inference.evaluate
    monkeypatch.setattr(inference, "evaluate", lambda *given: np.asarray(right(*given)) + 2.0**-16)
    with pytest.raises(WrongResultError, match="fixed-point reference"):
        list(inference.run(QUICK))
