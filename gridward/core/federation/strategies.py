"""How a round of federated learning is made up and put together again."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gridward.core.federation.aggregate import Array, Parameters, Update, WeightedMean


@dataclass(frozen=True, slots=True)
class RoundPlan:
    """Who takes part in a round, and how many of them must answer for it to count."""

    nodes: tuple[str, ...]
    quorum: int


class Strategy(Protocol):
    """The seam: FedAvg now, others by their own issue. Rounds count from 0.

    A strategy holds no model and does no I/O: a run is resumed from ``state_dict`` and the last parameters.
    """

    def configure_round(self, number: int, nodes: Sequence[str]) -> RoundPlan:
        """Choose among the reachable nodes."""
        ...

    def aggregate(self, number: int, parameters: Parameters, updates: Iterable[Update]) -> dict[str, Array]:
        """Make the next parameters of the round's ``parameters`` and the updates, taken as they arrive."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next round needs besides the parameters, as JSON values and arrays."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``."""
        ...


@dataclass(slots=True)
class FedAvg:
    """Federated averaging: the mean of the nodes' parameters, weighted by rows (McMahan et al. 2017).

    ``min_nodes`` must answer for a round to count.
    """

    min_nodes: int = 1

    def __post_init__(self) -> None:
        if self.min_nodes < 1:
            raise ValueError("a round needs at least one node")

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
        """FedAvg remembers nothing but its setting."""
        return {"min_nodes": self.min_nodes}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back the setting."""
        self.min_nodes = int(state["min_nodes"])
