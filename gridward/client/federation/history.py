"""What a federated training leaves behind: what every node did in every round, and the model."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch


@dataclass(frozen=True, slots=True)
class NodeReport:
    """What one node did in one round: ``seconds`` of its own work, bytes of messages to and from it."""

    node: str
    rows: int
    seconds: float
    metrics: Mapping[str, float]
    sent_bytes: int = 0
    received_bytes: int = 0


@dataclass(frozen=True, slots=True)
class RoundReport:
    """One round: what each node did, and why others did not. ``metrics`` are means weighted by rows."""

    number: int
    seconds: float
    nodes: tuple[NodeReport, ...]
    failures: Mapping[str, str]

    @property
    def metrics(self) -> dict[str, float]:
        """Loss and metrics of the nodes' last local epoch, weighted by rows."""
        rows = sum(report.rows for report in self.nodes)
        names = {name for report in self.nodes for name in report.metrics}
        return {
            name: sum(report.metrics.get(name, 0.0) * report.rows for report in self.nodes) / rows
            for name in sorted(names)
        }


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """A trained model and how it got there."""

    model: torch.nn.Module = field(repr=False)
    history: list[RoundReport]
