from typing import get_args

import pytest

from gridward.core.errors import InvalidInputError
from gridward.core.federation.known import KINDS, SCHEDULES, ScheduleName, StrategyName, made, named
from gridward.core.federation.schedules import RateSchedule
from gridward.core.federation.server_optimizers import FedAdam
from gridward.core.federation.strategies import FedAvg


@pytest.mark.parametrize("name", StrategyName)
def test_every_named_strategy_is_made_again_from_its_name_and_settings(name: StrategyName) -> None:
    strategy = KINDS[name](min_nodes=3)
    assert named(strategy) is not None
    again = made(*(named(strategy) or ("", {})))
    assert type(again) is type(strategy)
    assert again == strategy


def test_settings_are_kept_and_state_is_not() -> None:
    strategy = FedAdam(learning_rate=0.5)
    strategy.means = {}
    assert named(strategy) == (
        "FedAdam",
        {"min_nodes": 1, "learning_rate": 0.5, "beta1": 0.9, "beta2": 0.99, "tau": 1e-9},
    )


class Own(FedAvg):
    """Of somebody's own making."""


def test_what_has_no_name_is_not_taken_for_what_it_extends() -> None:
    assert named(Own()) is None


@pytest.mark.parametrize(
    ("name", "settings"), [("FedBest", {}), ("FedAvg", {"mu": 1}), ("FedAvg", {"min_nodes": 0})]
)
def test_what_cannot_be_made_is_refused(name: str, settings: dict[str, int]) -> None:
    with pytest.raises(InvalidInputError, match=name):
        made(name, settings)


def test_every_strategy_and_schedule_has_a_name() -> None:
    assert set(KINDS) == set(StrategyName)
    assert set(SCHEDULES) == set(ScheduleName)
    assert set(SCHEDULES.values()) == set(get_args(RateSchedule))
