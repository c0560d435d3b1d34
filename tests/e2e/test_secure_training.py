"""Federated learning of which nobody sees one update, over four real nodes of four owners."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

import gridward as gw
from gridward.client.federation.gathering import Opening, Parameters
from gridward.client.federation.secure import SecureGathering
from gridward.core.schemas.trainings import TrainingOut
from tests.support.grids import Grid, eventually

pytestmark = pytest.mark.e2e

NAMES = ("hospital", "public", "company", "university")
ROWS = {"hospital": 60, "public": 40, "company": 50, "university": 30}
LARGE = gw.Disclosure(residual_degrees=None, parameter_share=None)


@pytest.fixture(scope="module")
def clouds(grid: Grid) -> Iterator[tuple[gw.GatewayClient, list[gw.DatasetPointer]]]:
    """Points of three kinds on every node; dana may train and take models away, eve may train."""
    access = gw.Access(discover=gw.SIGNED_IN, train=gw.SIGNED_IN, export_model="dana@grid")
    for seed, name in enumerate(NAMES):
        drawn = torch.Generator().manual_seed(seed)
        labels = torch.arange(ROWS[name]) % 3
        points = torch.eye(4)[labels] * 2 + torch.randn(ROWS[name], 4, generator=drawn) * 0.4
        with grid.owner(name) as owner:
            owner.publish(
                "clouds",
                {"x": points, "y": labels},
                tags=["#clouds"],
                access=access,
                rows_are_entities=True,
                disclosure=LARGE,
            )
            owner.admit("dana@grid")
            owner.admit("eve@grid")
    with grid.user("dana") as dana:
        yield dana, eventually(lambda: _all(dana), "the clouds in search")


def _all(user: gw.GatewayClient) -> list[gw.DatasetPointer] | None:
    found = user.search("#clouds")
    return [found[name][0] for name in NAMES] if len(found) == len(NAMES) else None


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))


def learn(user: gw.GatewayClient, data: list[gw.DatasetPointer], **how: Any) -> gw.TrainingResult:
    asked: dict[str, Any] = {"rounds": 2, "epochs": 2, "batch_size": 30, "seed": 4, "progress": False}
    return user.train(network(), data=data, **(asked | how))


def test_the_model_is_that_of_plain_training_up_to_rounding(
    clouds: tuple[gw.GatewayClient, list[gw.DatasetPointer]],
) -> None:
    dana, data = clouds
    for seed, strategy in enumerate((gw.FedAvg, gw.FedAvgM)):
        plain = learn(dana, data, strategy=strategy(), seed=seed).model.state_dict()
        secure = learn(dana, data, strategy=strategy(), seed=seed, secure=True)
        for name, value in secure.model.state_dict().items():
            torch.testing.assert_close(value, plain[name], atol=3e-6, rtol=0)
        assert {node.rows for node in secure.history[0].nodes} == set(ROWS.values())
        told = [value for node in secure.history[0].nodes for value in node.metrics.values()]
        assert all(value == float(f"{value:.3g}") for value in told)


def test_rules_that_need_single_updates_are_refused_before_anything_runs(
    clouds: tuple[gw.GatewayClient, list[gw.DatasetPointer]],
) -> None:
    dana, data = clouds
    for strategy in (gw.Krum(), gw.FedMedian(), gw.TrimmedMean(), gw.Scaffold()):
        with pytest.raises(gw.InvalidInputError, match="each node's update"):
            learn(dana, data, strategy=strategy, secure=True)


def test_who_may_not_take_models_away_gets_no_sum_either(grid: Grid) -> None:
    with grid.user("eve") as eve, pytest.raises(gw.TrainingError, match="may not take away"):
        found = eve.search("#clouds")
        learn(eve, [found[name][0] for name in NAMES], rounds=1, secure=True)


@pytest.mark.slow
def test_a_node_that_dies_before_it_contributes_costs_nothing_and_an_aggregator_may_start_again(
    grid: Grid,
    clouds: tuple[gw.GatewayClient, list[gw.DatasetPointer]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The company dies once it has trained; the public node, which adds up, once it has contributed."""
    dana, data = clouds
    arrived, close = SecureGathering.arrived, SecureGathering.close

    def losing_one(
        self: SecureGathering, opening: Opening, node: str, out: TrainingOut, found: Parameters
    ) -> None:
        if node == "company":
            grid.nodes["company"].kill()
        arrived(self, opening, node, out, found)

    def closing(self: SecureGathering, nodes: tuple[str, ...]) -> Any:
        grid.nodes["public"].kill()
        grid.nodes["public"].start()
        return close(self, nodes)

    monkeypatch.setattr(SecureGathering, "arrived", losing_one)
    monkeypatch.setattr(SecureGathering, "close", closing)
    try:
        result = learn(dana, data, rounds=1, secure=gw.Secure(aggregators=("hospital", "public")), quorum=3)
    finally:
        grid.nodes["company"].start()
        grid.await_live()
    assert set(result.history[0].failures) == {"company"}
    monkeypatch.undo()
    left = [pointer for pointer in data if pointer.location.name != "company"]
    plain = learn(dana, left, rounds=1).model.state_dict()
    for name, value in result.model.state_dict().items():
        torch.testing.assert_close(value, plain[name], atol=3e-6, rtol=0)
