"""Strategies that bear some nodes with wrong updates. They need single updates, all of them, unweighted.

Memory: a copy of the parameters for each node. Rows do not count: a node could claim any number. Tensors that
count something (integers) take the largest of those that are joined.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from gridward.core.errors import TrainingError
from gridward.core.federation.aggregate import Array, Parameters, Update, check, is_real
from gridward.core.federation.strategies import FedAvg


@dataclass(slots=True)
class _Robust(FedAvg):
    """What they share: all updates are taken, then joined."""

    @property
    def mean_suffices(self) -> bool:
        """Every single update is looked at."""
        return False

    def aggregate(self, number: int, parameters: Parameters, updates: Iterable[Update]) -> dict[str, Array]:
        """Join the updates by the strategy's rule, in the order of nodes: ties are the same again.

        Raises:
            TrainingError: an update does not fit, or too few came for the rule.
        """
        held: list[Update] = []
        for update in updates:
            check(parameters, update)
            held.append(update)
        if not held:
            raise TrainingError("no node returned an update")
        return self.join(parameters, sorted(held, key=lambda update: update.node))

    @abstractmethod
    def join(self, parameters: Parameters, updates: Sequence[Update]) -> dict[str, Array]:
        """Make the next parameters of all updates."""


@dataclass(slots=True)
class FedMedian(_Robust):
    """The median of each coordinate (Yin et al. 2018, Algorithm 1, option I)."""

    def join(self, parameters: Parameters, updates: Sequence[Update]) -> dict[str, Array]:
        """Take the middle value, or the mean of the two in the middle."""
        return _each(parameters, updates, lambda stack: np.median(stack, axis=0))


@dataclass(slots=True)
class TrimmedMean(_Robust):
    """The mean of each coordinate without its extremes (Yin et al. 2018, Algorithm 1, option II).

    ``trimmed``: the part of the nodes that is left out at either end, below one half, rounded down.
    """

    trimmed: float = 0.2

    def __post_init__(self) -> None:
        if self.min_nodes < 1 or not 0 <= self.trimmed < 0.5:
            raise ValueError("min_nodes is at least 1, trimmed at least 0 and below one half")

    def join(self, parameters: Parameters, updates: Sequence[Update]) -> dict[str, Array]:
        """Sort each coordinate and average the middle."""
        cut = int(self.trimmed * len(updates))
        return _each(
            parameters, updates, lambda stack: np.sort(stack, axis=0)[cut : len(updates) - cut].mean(axis=0)
        )


@dataclass(slots=True)
class Krum(_Robust):
    """The one update that lies closest to its neighbours (Blanchard et al. 2017), or the mean of ``kept``.

    Each update's score is the sum of its squared distances to its n - ``wrong`` - 2 nearest; so many nodes
    may be ``wrong`` where n > 2 ``wrong`` + 2. With ``kept`` above 1 (multi-Krum) the ones of least score are
    averaged, weighted by rows.
    """

    wrong: int = 1
    kept: int = 1

    def __post_init__(self) -> None:
        if self.min_nodes < 1 or self.wrong < 0 or self.kept < 1:
            raise ValueError("min_nodes and kept are at least 1, wrong is not negative")

    def join(self, parameters: Parameters, updates: Sequence[Update]) -> dict[str, Array]:
        """Choose by score."""
        count = len(updates)
        if count <= 2 * self.wrong + 2:
            raise TrainingError(
                f"Krum bears {self.wrong} wrong nodes among at least {2 * self.wrong + 3}; {count} answered"
            )
        near = np.sort(_distances(parameters, updates), axis=1)[:, 1 : count - self.wrong - 1]
        best = np.argsort(near.sum(axis=1), kind="stable")[: self.kept]
        chosen = FedAvg()
        return chosen.aggregate(0, parameters, [updates[at] for at in best])


def _each(
    parameters: Parameters, updates: Sequence[Update], rule: Callable[[Array], Array]
) -> dict[str, Array]:
    joined: dict[str, Array] = {}
    for name, value in parameters.items():
        stack = np.stack([update.parameters[name] for update in updates])
        joined[name] = (
            rule(stack.astype(np.float64)).astype(value.dtype) if is_real(value) else stack.max(axis=0)
        )
    return joined


def _distances(parameters: Parameters, updates: Sequence[Update]) -> Array:
    """Squared Euclidean distances between the updates, over all tensors of real numbers: (n, n) float64."""
    distances = np.zeros((len(updates), len(updates)))
    for name in (name for name, value in parameters.items() if is_real(value)):
        flat = np.stack([update.parameters[name].reshape(-1) for update in updates]).astype(np.float64)
        for at, one in enumerate(flat):
            distances[at] += np.square(flat - one).sum(axis=1)
    return distances
