"""Learning-rate schedules mean what torch's mean."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import lr_scheduler as theirs

from gridward.core.federation.schedules import (
    Constant,
    CosineDecay,
    ExponentialDecay,
    LinearWarmup,
    RateSchedule,
    StepDecay,
)

Torchs = Callable[[torch.optim.Optimizer, int], theirs.LRScheduler]


def rates(made: Torchs, rounds: int) -> list[float]:
    """What torch's scheduler makes of a rate of 1."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    scheduler, found = made(optimizer, rounds), []
    for _ in range(rounds):
        found.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        scheduler.step()
    return found


CASES: list[tuple[RateSchedule, Torchs]] = [
    (Constant(), lambda o, _: theirs.ConstantLR(o, factor=1.0)),
    (StepDecay(3, 0.5), lambda o, _: theirs.StepLR(o, 3, 0.5)),
    (ExponentialDecay(0.9), lambda o, _: theirs.ExponentialLR(o, 0.9)),
    (CosineDecay(), lambda o, rounds: theirs.CosineAnnealingLR(o, rounds)),
    (CosineDecay(0.1), lambda o, rounds: theirs.CosineAnnealingLR(o, rounds, eta_min=0.1)),
    (LinearWarmup(4, 0.2), lambda o, _: theirs.LinearLR(o, 0.2, total_iters=4)),
]


@pytest.mark.parametrize(("schedule", "made"), CASES)
@pytest.mark.parametrize("rounds", [1, 5, 12])
def test_every_schedule_is_torchs(schedule: RateSchedule, made: Torchs, rounds: int) -> None:
    ours = [schedule.factor(number, rounds) for number in range(rounds)]
    assert ours == pytest.approx(rates(made, rounds), rel=1e-6, abs=1e-9)


def test_a_warm_up_goes_over_into_another_schedule() -> None:
    schedule = LinearWarmup(4, 0.1, CosineDecay(0.2))
    factors = [schedule.factor(number, 20) for number in range(20)]
    assert factors[:5] == pytest.approx([0.1, 0.325, 0.55, 0.775, 1.0])
    assert factors[4:] == [CosineDecay(0.2).factor(number, 16) for number in range(16)]


@given(st.sampled_from([case[0] for case in CASES]), st.integers(0, 200), st.integers(1, 100))
def test_a_factor_is_a_fraction_however_long_the_run(
    schedule: RateSchedule, number: int, rounds: int
) -> None:
    assert 0 <= schedule.factor(number, rounds) <= 1


@pytest.mark.parametrize(
    "made",
    [
        lambda: StepDecay(0),
        lambda: StepDecay(1, 0),
        lambda: StepDecay(1, 2),
        lambda: ExponentialDecay(0),
        lambda: CosineDecay(1.5),
        lambda: LinearWarmup(0),
        lambda: LinearWarmup(3, 0),
    ],
)
def test_senseless_schedules_are_refused(made: Callable[[], RateSchedule]) -> None:
    with pytest.raises(ValueError, match=r"is|between"):
        made()
