"""How the nodes' learning rate changes from round to round: factors of the first rate, as torch's schedulers.

A schedule is a pure value: a run that is resumed goes on where it was, and nodes learn a number only.
"""

import math
from dataclasses import dataclass
from typing import Final, TypeAlias


@dataclass(frozen=True, slots=True)
class Constant:
    """The same rate in every round."""

    def factor(self, number: int, rounds: int) -> float:
        """Give the factor of round ``number``, from 0, of so many ``rounds``."""
        return 1.0


@dataclass(frozen=True, slots=True)
class StepDecay:
    """Times ``gamma`` after ``every`` rounds, with the meaning of ``torch.optim.lr_scheduler.StepLR``."""

    every: int
    gamma: float = 0.1

    def __post_init__(self) -> None:
        """Refuse what would raise the rate or never step."""
        if self.every < 1 or not 0 < self.gamma <= 1:
            raise ValueError("every is at least 1, gamma above 0 and at most 1")

    def factor(self, number: int, rounds: int) -> float:
        """Give the factor of round ``number``, from 0."""
        return self.gamma ** (number // self.every)


@dataclass(frozen=True, slots=True)
class ExponentialDecay:
    """Times ``gamma`` after every round (``ExponentialLR``)."""

    gamma: float

    def __post_init__(self) -> None:
        """Refuse what would raise the rate."""
        if not 0 < self.gamma <= 1:
            raise ValueError("gamma is above 0 and at most 1")

    def factor(self, number: int, rounds: int) -> float:
        """Give the factor of round ``number``, from 0."""
        return float(self.gamma**number)


@dataclass(frozen=True, slots=True)
class CosineDecay:
    """Half a cosine from 1 to ``floor`` over all rounds (``CosineAnnealingLR`` with ``T_max=rounds``)."""

    floor: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a floor that is no fraction."""
        if not 0 <= self.floor <= 1:
            raise ValueError("the floor is between 0 and 1")

    def factor(self, number: int, rounds: int) -> float:
        """Give the factor of round ``number``, from 0; past the last round it stays at the floor."""
        done = min(1.0, number / max(1, rounds))
        return self.floor + (1 - self.floor) * (1 + math.cos(math.pi * done)) / 2


_CONSTANT: Final = Constant()


@dataclass(frozen=True, slots=True)
class LinearWarmup:
    """Evenly up from ``start`` to 1 in ``over`` rounds (``LinearLR``), ``then`` another schedule."""

    over: int
    start: float = 1 / 3
    then: Constant | StepDecay | ExponentialDecay | CosineDecay = _CONSTANT

    def __post_init__(self) -> None:
        """Refuse what would not warm up."""
        if self.over < 1 or not 0 < self.start <= 1:
            raise ValueError("over is at least 1, start above 0 and at most 1")

    def factor(self, number: int, rounds: int) -> float:
        """Give the factor of round ``number``, from 0."""
        if number >= self.over:
            return self.then.factor(number - self.over, rounds - self.over)
        return self.start + (1 - self.start) * number / self.over


RateSchedule: TypeAlias = Constant | StepDecay | ExponentialDecay | CosineDecay | LinearWarmup
