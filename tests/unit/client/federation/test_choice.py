"""Which model a run gives: the best by what nodes hold out, or the last."""

from pathlib import Path
from typing import Any

import httpx2
import pytest
import torch
from torch import nn

import gridward as gw
from gridward.client.federation import driver, entry
from gridward.client.federation.driver import Surroundings
from gridward.client.federation.setup import Choice
from gridward.client.training import Recipe, Run
from tests.support.schools import DIGITS, School, setup_of

QUIET = Surroundings(shown=False)


@pytest.fixture
def model() -> nn.Module:
    model = nn.Linear(4, 3)
    nn.init.zeros_(model.weight)
    return model


def school(name: str, best: float, rows: int = 40) -> School:
    """A school that likes weights of `best` most; every round adds 1."""
    made = School(name, rows=rows)
    made.judge = lambda received: {"loss": (received["weight"].mean().item() - best) ** 2}
    return made


def train(model: nn.Module, schools: list[School], choice: Choice, rounds: int = 5) -> gw.TrainingResult:
    setup = setup_of(model, schools, gw.FedAvg(), rounds=rounds, seed=7, choice=choice)
    return driver.result_of(model, setup, driver.start(setup, QUIET))


def test_the_best_model_by_held_out_rows_is_given_and_the_last_is_judged_too(model: nn.Module) -> None:
    result = train(model, [school("north", 2.0, 30), school("south", 4.0, 10)], Choice(0.1))
    assert result.best_round == 2  # weighted by 3 and 1 rows the loss is least at 2.5, and 3 is a tie
    assert result.model.weight.mean().item() == 2.0
    losses = [report.validation["loss"] for report in result.history]
    assert losses == [pytest.approx((3 * (n - 2) ** 2 + (n - 4) ** 2) / 4) for n in (1, 2, 3, 4, 5)]


def test_every_node_holds_out_the_same_rows_all_along_and_the_last_look_trains_nothing(
    model: nn.Module,
) -> None:
    north = school("north", 2.0)
    train(model, [north], Choice(0.1), rounds=2)
    assert [body["epochs"] for body in north.asked] == [1, 1, 0]
    held_out = [(body["evaluation"]["holdout"], body["evaluation"]["holdout_seed"]) for body in north.asked]
    assert held_out == [(0.1, 7)] * 3


@pytest.mark.parametrize(("patience", "rounds"), [(1, 4), (2, 5), (None, 9)])
def test_a_run_ends_once_nothing_got_better_for_so_many_rounds(
    model: nn.Module, patience: int | None, rounds: int
) -> None:
    """The best is round 2; round 3 is judged in round 4, and so on."""
    result = train(model, [school("north", 2.0)], Choice(0.1, patience), rounds=9)
    assert (len(result.history), result.best_round) == (rounds, 2)


def test_a_run_that_ended_by_patience_is_only_read_even_where_the_last_model_turns_out_the_best(
    model: nn.Module, tmp_path: Path
) -> None:
    north, again = school("north", 2.0), school("north", 2.0)
    for one in (north, again):  # the last look, at 4, finds what no round before it found
        one.judge = lambda received: {"loss": 0.0 if received["weight"].mean() > 3.5 else 5.0}
    setup = setup_of(model, [north], gw.FedAvg(), rounds=9, choice=Choice(0.1, patience=3))
    ended = entry.perform(model, setup, tmp_path / "run", QUIET)
    assert (len(ended.history), ended.best_round) == (4, 4)
    resumed = entry.resume(tmp_path / "run", model, place=lambda _: again, around=QUIET)
    assert (len(resumed.history), resumed.best_round, again.asked) == (4, 4, [])


def test_the_given_model_may_be_the_best(model: nn.Module) -> None:
    result = train(model, [school("north", -3.0)], Choice(0.2), rounds=2)
    assert result.best_round == 0
    assert torch.equal(result.model.weight, model.weight)


def test_without_validation_the_last_model_is_given_and_nothing_is_judged(model: nn.Module) -> None:
    north = school("north", 2.0)
    result = train(model, [north], Choice())
    assert (result.best_round, result.model.weight.mean().item()) == (5, 5.0)
    assert all("evaluation" not in body for body in north.asked)


@pytest.mark.parametrize(
    "fields", [{"validation": 0.6}, {"validation": -0.1}, {"patience": 3}, {"validation": 0.1, "patience": 0}]
)
def test_a_choice_that_cannot_be_made_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(gw.InvalidInputError, match=next(reversed(fields))):
        Choice(**fields)


def test_the_learning_rate_follows_its_schedule_and_goes_on_after_a_break(
    model: nn.Module, tmp_path: Path
) -> None:
    def rates(one: School) -> list[float]:
        return [body["hyper"][0]["value"] for body in one.asked if body["epochs"]]

    north, again = school("north", 2.0), school("north", 2.0)
    schedule = gw.LinearWarmup(over=1, start=0.5, then=gw.StepDecay(every=2, gamma=0.5))
    setup = setup_of(model, [north], gw.FedAvg(), rounds=4, schedule=schedule)
    north.bend = lambda _: httpx2.Response(503) if len(north.asked) == 3 else None
    with pytest.raises(gw.TrainingError, match="goes on"):
        entry.perform(model, setup, tmp_path / "run", QUIET)
    entry.resume(tmp_path / "run", model, place=lambda _: again, around=QUIET)
    wanted = [pytest.approx(0.1 * factor) for factor in (0.5, 1.0, 1.0, 0.5)]
    assert (rates(north)[:2] + rates(again)) == wanted


def test_scaffold_keeps_its_rate(model: nn.Module) -> None:
    data = [School("north").dataset("digits", **DIGITS)]
    with pytest.raises(gw.InvalidInputError, match="leave schedule= out"):
        entry.train(
            model,
            data,
            recipe=Recipe(),
            rounds=1,
            run=Run(),
            strategy=gw.Scaffold(local_rate=0.1),
            schedule=gw.CosineDecay(),
        )
