"""SCAFFOLD: nodes whose data differ are kept together by what each lacks of the common direction."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gridward.core.federation.aggregate import Array, Parameters, Update, is_real
from gridward.core.federation.server_optimizers import deltas, moved, noting_statistics
from gridward.core.federation.strategies import FedAvg, LocalRule, RoundPlan

Control = dict[str, Array]


@dataclass(slots=True)
class Scaffold(FedAvg):
    """Stochastic controlled averaging (Karimireddy et al. 2020, Algorithm 1, option II).

    Every local step of node i adds c - c_i to its gradient. After K steps of plain SGD with the rate of
    ``local_rate`` from x to y_i: c_i' = c_i - c + (x - y_i) / (K ``local_rate``). c moves by the mean change
    over all nodes known so far, x by ``learning_rate`` times the mean of y_i - x, weighted by rows.

    Who drives the run holds a control of the parameters' size for each node (float64). ``local_rate`` has to
    be that of the nodes' optimizer, which is SGD without momentum.
    """

    local_rate: float = 0.1
    learning_rate: float = 1.0
    common: Control = field(default_factory=dict, init=False, repr=False)
    own: dict[str, Control] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.min_nodes < 1 or self.local_rate <= 0 or self.learning_rate <= 0:
            raise ValueError("min_nodes is at least 1, both rates are above 0")

    @property
    def local(self) -> LocalRule:
        """The node's control is added."""
        return LocalRule(controlled=True)

    @property
    def mean_suffices(self) -> bool:
        """Each node's control follows from its own update."""
        return False

    def configure_round(self, number: int, nodes: Sequence[str]) -> RoundPlan:
        """Every node takes part, with what it lacks of the common direction."""
        for node in nodes:
            self.own.setdefault(node, {})
        controls = {
            node: {name: value - self.own[node].get(name, 0.0) for name, value in self.common.items()}
            for node in nodes
        }
        return RoundPlan(tuple(nodes), self.min_nodes, controls)

    def aggregate(self, number: int, parameters: Parameters, updates: Iterable[Update]) -> dict[str, Array]:
        """Average the updates and learn every node's direction.

        Raises:
            TrainingError: an update does not fit, or none came.
        """
        learned: dict[str, Control] = {}
        kept: set[str] = set()
        noted = noting_statistics(self._watched(parameters, updates, learned), kept)
        mean = FedAvg.aggregate(self, number, parameters, noted)
        changes: list[Control] = []
        for node, control in learned.items():
            before = self.own.get(node, {})
            changes.append({name: value - before.get(name, 0.0) for name, value in control.items()})
            self.own[node] = control
        for name in {name for change in changes for name in change}:
            total = np.sum([change[name] for change in changes], axis=0)
            self.common[name] = np.asarray(self.common.get(name, 0.0) + total / len(self.own))
        steps = {name: self.learning_rate * delta for name, delta in deltas(parameters, mean, kept).items()}
        return moved(parameters, mean, steps)

    def _watched(
        self, parameters: Parameters, updates: Iterable[Update], learned: dict[str, Control]
    ) -> Iterator[Update]:
        """Note each node's control once its update was folded, and so found to fit."""
        for update in updates:
            yield update
            before, scale = self.own.get(update.node, {}), 1 / (update.steps * self.local_rate)
            learned[update.node] = {
                name: before.get(name, 0.0)
                - self.common.get(name, 0.0)
                + scale * (np.asarray(value, np.float64) - update.parameters[name])
                for name, value in parameters.items()
                if is_real(value)
            }

    def state_dict(self) -> dict[str, Any]:
        """Give all controls."""
        return {
            "common": dict(self.common),
            "own": {node: dict(control) for node, control in self.own.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back all controls."""
        self.common = dict(state["common"])
        self.own = {node: dict(control) for node, control in state["own"].items()}
