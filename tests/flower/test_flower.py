"""Flower's own strategies through our seam: the same numbers as Flower's, and a real federated training."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from flwr.common import FitRes, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.common.typing import Code, Status
from flwr.server.strategy import FedAdam, FedAvg, FedAvgM, FedMedian, FedProx, FedYogi, Krum
from torch import nn
from torch.nn import functional

import gridward as gw
from gridward.client.flower import FlowerStrategy, _Client, parameters_of
from gridward.core.federation.aggregate import Update
from gridward.core.federation.strategies import LocalRule
from tests.support.grids import Grid, running_grid

OK = Status(Code.OK, "")
NODES = ("amber", "basalt", "coral", "dune")


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))


MAKERS: dict[str, Callable[[], Any]] = {
    "FedAvg": FedAvg,
    "FedAvgM": lambda: FedAvgM(initial_parameters=parameters_of(model()), server_momentum=0.9),
    "FedAdam": lambda: FedAdam(initial_parameters=parameters_of(model()), eta=0.1),
    "FedYogi": lambda: FedYogi(initial_parameters=parameters_of(model()), eta=0.1),
    "FedMedian": FedMedian,
    "Krum": lambda: Krum(num_malicious_clients=1),
}


def arrays() -> dict[str, np.ndarray]:
    return {name: value.numpy().copy() for name, value in model().state_dict().items()}


def moved(number: int, now: dict[str, np.ndarray]) -> list[Update]:
    drawn = np.random.default_rng(number)
    return [
        Update(
            node,
            10 + at,
            {
                name: (value + drawn.normal(size=value.shape)).astype(value.dtype)
                for name, value in now.items()
            },
        )
        for at, node in enumerate(NODES)
    ]


@pytest.mark.parametrize("name", MAKERS)
def test_the_adapter_makes_what_flower_makes_and_can_be_resumed(name: str) -> None:
    adapted, plain, now = FlowerStrategy(MAKERS[name](), model()), MAKERS[name](), arrays()
    for number in range(4):
        assert set(adapted.configure_round(number, NODES).nodes) == set(NODES)
        updates = moved(number, now)
        answers = [
            (_Client(one.node), FitRes(OK, ndarrays_to_parameters([*one.parameters.values()]), one.rows, {}))
            for one in updates
        ]
        expected, _ = plain.aggregate_fit(number + 1, answers, [])
        after = adapted.aggregate(number, now, updates)
        for found, wanted in zip(after.values(), parameters_to_ndarrays(expected), strict=True):
            if np.issubdtype(found.dtype, np.floating):
                np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
        state = adapted.state_dict()
        adapted = FlowerStrategy(MAKERS[name](), model())
        adapted.load_state_dict(state)
        now = after


def test_fedprox_pulls_locally_and_other_configuration_is_refused() -> None:
    assert FlowerStrategy(FedProx(proximal_mu=0.3), model()).local == LocalRule(proximal=0.3)
    bent = FlowerStrategy(FedAvg(on_fit_config_fn=lambda _: {"epochs": 3}), model())
    with pytest.raises(gw.InvalidInputError, match="epochs"):
        bent.configure_round(0, NODES)


def test_too_few_nodes_are_told_and_not_waited_for() -> None:
    strategy = FlowerStrategy(FedAvg(min_available_clients=9), model())
    with pytest.raises(gw.InvalidInputError, match="wants 9 nodes, and there are 4"):
        strategy.configure_round(0, NODES)


def test_a_fraction_is_drawn_anew_each_round_and_alike_with_the_seed() -> None:
    strategy = FlowerStrategy(FedAvg(fraction_fit=0.5, min_fit_clients=2), model(), seed=3)
    rounds = [strategy.configure_round(number, NODES) for number in range(8)]
    assert {len(plan.nodes) for plan in rounds} == {2}
    assert len({plan.nodes for plan in rounds}) > 1
    again = FlowerStrategy(FedAvg(fraction_fit=0.5, min_fit_clients=2), model(), seed=3)
    assert [again.configure_round(number, NODES) for number in range(8)] == rounds


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with running_grid(tmp_path_factory.mktemp("grid")) as running:
        yield running


def test_flower_drives_a_training_over_real_nodes(grid: Grid) -> None:
    anyone = gw.SIGNED_IN
    access = gw.Access(discover=anyone, train=anyone, export_model=anyone)
    for at, name in enumerate(grid.nodes):
        drawn = torch.Generator().manual_seed(at)
        labels = torch.arange(90) % 3
        points = torch.randn(90, 4, generator=drawn) * 0.4 + torch.eye(4)[labels] * 2
        with grid.owner(name) as owner:
            owner.admit("dana@grid", role="data_scientist")
            owner.publish(
                "clouds",
                {"points": points, "labels": labels},
                access=access,
                tags=["#clouds"],
                rows_are_entities=True,
                disclosure=gw.Disclosure(residual_degrees=None, parameter_share=None),
            )
    with grid.user("dana") as dana:
        student = nn.Linear(4, 3)
        result = dana.train(
            student,
            data=[dana.node(name).dataset("clouds") for name in grid.nodes],
            loss=functional.cross_entropy,
            optimizer=gw.SGD(lr=0.2),
            rounds=4,
            strategy=FlowerStrategy(FedAdam(initial_parameters=parameters_of(student), eta=0.3), student),
            progress=False,
        )
    assert result.history[-1].metrics["correct"] > 0.8
    assert {len(report.nodes) for report in result.history} == {len(grid.nodes)}
