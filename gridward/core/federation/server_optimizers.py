"""Strategies that take the mean update as a gradient: a server-side optimizer makes the step.

With x the round's parameters and Delta = mean of the nodes' parameters - x, the next are x + a step of Delta.
All computing is in float64. Tensors that count something (integers) and statistics are those of the mean: a
step beyond it could make a variance negative.
"""

from abc import abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gridward.core.federation.aggregate import Array, Parameters, Update, is_real
from gridward.core.federation.strategies import FedAvg

Moments = dict[str, Array]


@dataclass(slots=True)
class FedAvgM(FedAvg):
    """Server momentum (Hsu et al. 2019): v = momentum * v + Delta, x = x + learning_rate * v."""

    learning_rate: float = 1.0
    momentum: float = 0.9
    velocity: Moments = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.min_nodes < 1 or self.learning_rate <= 0 or not 0 <= self.momentum < 1:
            raise ValueError(
                "min_nodes is at least 1, the learning rate above 0, momentum at least 0, below 1"
            )

    def aggregate(self, number: int, parameters: Parameters, updates: Iterable[Update]) -> dict[str, Array]:
        """Average the updates, then move on with what is left of the moves before.

        Raises:
            TrainingError: an update does not fit, or none came.
        """
        kept: set[str] = set()
        mean = FedAvg.aggregate(self, number, parameters, noting_statistics(updates, kept))
        for name, delta in deltas(parameters, mean, kept).items():
            self.velocity[name] = self.momentum * self.velocity.get(name, 0.0) + delta
        return moved(parameters, mean, {name: self.learning_rate * v for name, v in self.velocity.items()})

    def state_dict(self) -> dict[str, Any]:
        """Give the velocity."""
        return {"velocity": dict(self.velocity)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back the velocity."""
        self.velocity = dict(state["velocity"])


@dataclass(slots=True)
class _Adaptive(FedAvg):
    """Adaptive federated optimization (Reddi et al. 2021, Algorithm 2).

    m = beta1 m + (1 - beta1) Delta; v by each rule; x = x + learning_rate m / (sqrt(v) + tau); both are 0
    at first.
    """

    learning_rate: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.99
    tau: float = 1e-9
    means: Moments = field(default_factory=dict, init=False, repr=False)
    squares: Moments = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.min_nodes < 1 or self.learning_rate <= 0 or self.tau <= 0:
            raise ValueError("min_nodes is at least 1, the learning rate and tau are above 0")
        if not (0 <= self.beta1 < 1 and 0 <= self.beta2 < 1):
            raise ValueError("betas are at least 0 and below 1")

    def aggregate(self, number: int, parameters: Parameters, updates: Iterable[Update]) -> dict[str, Array]:
        """Average the updates, then step by the moments of all rounds so far.

        Raises:
            TrainingError: an update does not fit, or none came.
        """
        kept: set[str] = set()
        mean = FedAvg.aggregate(self, number, parameters, noting_statistics(updates, kept))
        rate, steps = self.rate(number), {}
        for name, delta in deltas(parameters, mean, kept).items():
            before = self.squares.get(name, np.zeros_like(delta))
            self.means[name] = self.beta1 * self.means.get(name, 0.0) + (1 - self.beta1) * delta
            self.squares[name] = self.square(before, np.square(delta))
            steps[name] = rate * self.means[name] / (np.sqrt(self.squares[name]) + self.tau)
        return moved(parameters, mean, steps)

    def rate(self, number: int) -> float:
        """Give the learning rate of a round."""
        return self.learning_rate

    @abstractmethod
    def square(self, before: Array, square: Array) -> Array:
        """Give v after a round in which Delta^2 was ``square``."""

    def state_dict(self) -> dict[str, Any]:
        """Give both moments."""
        return {"means": dict(self.means), "squares": dict(self.squares)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back both moments."""
        self.means, self.squares = dict(state["means"]), dict(state["squares"])


@dataclass(slots=True)
class FedAdam(_Adaptive):
    """v = beta2 v + (1 - beta2) Delta^2, the rate corrected for m = v = 0 at the start.

    The paper has no such correction; Flower's has, with powers that begin at 2, and so has this, so that both
    give the same parameters.
    """

    def rate(self, number: int) -> float:
        """Give the corrected rate."""
        power = number + 2
        return float(self.learning_rate * np.sqrt(1 - self.beta2**power) / (1 - self.beta1**power))

    def square(self, before: Array, square: Array) -> Array:
        """Forget slowly."""
        return self.beta2 * before + (1 - self.beta2) * square


@dataclass(slots=True)
class FedYogi(_Adaptive):
    """v = v - (1 - beta2) Delta^2 sign(v - Delta^2): it grows fast and falls slowly."""

    learning_rate: float = 0.01
    tau: float = 1e-3

    def square(self, before: Array, square: Array) -> Array:
        """Move by the same amount, whichever way."""
        towards: Array = np.sign(before - square)
        return before - (1 - self.beta2) * square * towards


@dataclass(slots=True)
class FedAdagrad(_Adaptive):
    """v = v + Delta^2, without a first moment."""

    beta1: float = 0.0

    def square(self, before: Array, square: Array) -> Array:
        """Forget nothing."""
        return before + square


def noting_statistics(updates: Iterable[Update], into: set[str]) -> Iterator[Update]:
    """Pass updates on, and note which tensors are statistics."""
    for update in updates:
        into |= update.statistics
        yield update


def deltas(parameters: Parameters, mean: Parameters, kept: Collection[str] = ()) -> dict[str, Array]:
    """Give mean - parameters of every tensor of real numbers that is not ``kept``, in float64."""
    return {
        name: mean[name].astype(np.float64) - np.asarray(value, np.float64)
        for name, value in parameters.items()
        if is_real(value) and name not in kept
    }


def moved(parameters: Parameters, mean: Parameters, steps: Mapping[str, Array]) -> dict[str, Array]:
    """Give parameters + steps, and the mean where there is no step, each in its dtype."""
    return {
        name: (np.asarray(value, np.float64) + steps[name]).astype(value.dtype)
        if name in steps
        else mean[name]
        for name, value in parameters.items()
    }
