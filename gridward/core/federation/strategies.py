"""How a round of federated learning is made up and put together again: the seam, and averaging."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Protocol

from gridward.core.federation.aggregate import Array, Parameters, Update, WeightedMean

NO_CONTROLS: Final[Mapping[str, Parameters]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class LocalRule:
    """What a strategy adds to the gradient of every local step, besides the loss.

    ``proximal`` times the way from the round's parameters, and, if ``controlled``, the round's control of the
    node (``RoundPlan.controls``).
    """

    proximal: float = 0.0
    controlled: bool = False


@dataclass(frozen=True, slots=True)
class RoundPlan:
    """Who takes part in a round, how many of them must answer for it to count, and each one's control."""

    nodes: tuple[str, ...]
    quorum: int
    controls: Mapping[str, Parameters] = field(default_factory=lambda: NO_CONTROLS)


class Strategy(Protocol):
    """The seam; anything with these four methods and ``local`` is a strategy. Rounds count from 0.

    A strategy holds no model and does no I/O: a run is resumed from ``state_dict`` and the last parameters.
    One that has ``mean_suffices``, and says true, may be given one update that is the weighted mean of all:
    so it can be used where updates are only ever added up. See ``mean_suffices``.
    """

    @property
    def local(self) -> LocalRule:
        """What every local step adds to its gradient."""
        ...

    def configure_round(self, number: int, nodes: Sequence[str]) -> RoundPlan:
        """Choose among the reachable nodes."""
        ...

    def aggregate(self, number: int, parameters: Parameters, updates: Iterable[Update]) -> dict[str, Array]:
        """Make the next parameters of the round's ``parameters`` and the updates, taken as they arrive."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next round needs besides the parameters and settings: numbers and arrays."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``."""
        ...


def mean_suffices(strategy: Strategy) -> bool:
    """Say whether a strategy needs no single update; one that does not say so needs them."""
    return bool(getattr(strategy, "mean_suffices", False))


@dataclass(slots=True)
class FedAvg:
    """Federated averaging: the mean of the nodes' parameters, weighted by rows (McMahan et al. 2017).

    ``min_nodes`` must answer for a round to count. Memory: one float64 copy of the parameters, however many
    nodes there are.
    """

    min_nodes: int = 1

    def __post_init__(self) -> None:
        if self.min_nodes < 1:
            raise ValueError("a round needs at least one node")

    @property
    def local(self) -> LocalRule:
        """Nothing is added."""
        return LocalRule()

    @property
    def mean_suffices(self) -> bool:
        """The weighted mean of the updates is all that it needs."""
        return True

    def configure_round(self, number: int, nodes: Sequence[str]) -> RoundPlan:
        """Every node takes part."""
        return RoundPlan(tuple(nodes), self.min_nodes)

    def aggregate(self, number: int, parameters: Parameters, updates: Iterable[Update]) -> dict[str, Array]:
        """Average the updates.

        Raises:
            TrainingError: an update does not fit, or none came.
        """
        mean = WeightedMean(parameters)
        for update in updates:
            mean.fold(update)
        return mean.result()

    def state_dict(self) -> dict[str, Any]:
        """Averaging remembers nothing."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing to take back."""


@dataclass(slots=True)
class FedProx(FedAvg):
    """FedAvg of nodes that are held back: each adds mu/2 |w - w_round|^2 to its loss (Li et al. 2020)."""

    mu: float = 0.01

    def __post_init__(self) -> None:
        if self.min_nodes < 1 or self.mu < 0:
            raise ValueError("a round needs at least one node, and mu is not negative")

    @property
    def local(self) -> LocalRule:
        """The gradient of that term."""
        return LocalRule(proximal=self.mu)
