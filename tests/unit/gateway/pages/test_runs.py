"""Pages of runs: seen by their starter and the gateway's owner, decided by their starter."""

import pytest

from gridward.core.schemas.runs import RoundRecord
from gridward.gateway.pages.runs import curves_of
from tests.support.gateways import GatewayUnderTest
from tests.support.visitors import Visitor
from tests.unit.gateway.test_runs import PLACE, RUN_ID, begin, told

PAGE = f"/runs/{RUN_ID}"
CANARY = "<script>alert('canary')</script>"


def test_a_run_is_shown_with_its_curves_and_what_nodes_did(grid: GatewayUnderTest) -> None:
    begin(grid, model=CANARY)
    for number in (1, 2):
        failures = {"z": f"late {CANARY}"}
        grid.post(f"{PLACE}/rounds", told(number) | {"failures": failures, "validation": {"loss": 0.3}})
    grid.as_("eve")
    for name in ("dana", "olga"):
        visitor = Visitor(grid.client, name)
        assert f'href="{PAGE}"' in visitor.shows("/runs")
        page = visitor.shows(PAGE)
        assert page.count("<polyline") == 2
        assert "validation loss" in page
        assert "left out: late" in page
        assert "<script>alert" not in page
    eve = Visitor(grid.client, "eve")
    assert RUN_ID not in eve.shows("/runs")
    assert eve.get(PAGE).status_code == 404


def test_its_starter_pauses_resumes_and_cancels_it_and_nobody_else(grid: GatewayUnderTest) -> None:
    begin(grid)
    dana, olga = Visitor(grid.client, "dana"), Visitor(grid.client, "olga")
    assert f'action="{PAGE}/pause"' in dana.shows(PAGE)
    assert f'action="{PAGE}/pause"' not in olga.shows(PAGE)
    assert olga.send(f"{PAGE}/cancel").status_code == 404
    for act, state in (("pause", "paused"), ("resume", "running"), ("cancel", "cancelled")):
        dana.sends(f"{PAGE}/{act}")
        assert grid.get(PLACE).json()["state"] == state
    assert "/pause" not in dana.shows(PAGE)


def test_curves_are_means_by_rows_the_losses_first() -> None:
    record = told(3) | {"validation": {"accuracy": 0.8, "loss": 0.4}}
    record["nodes"][0]["metrics"] = {"loss": 1.0, "accuracy": 0.5}
    curves = curves_of([RoundRecord.model_validate(record)])
    assert list(curves) == ["loss", "validation loss", "accuracy", "validation accuracy"]
    assert curves["loss"] == [(3, pytest.approx((1.0 * 10 + 0.5 * 30) / 40))]
    assert curves["accuracy"] == [(3, 0.5)]
