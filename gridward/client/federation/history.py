"""What a federated training leaves behind: what every node did in every round, and the model."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import torch

from gridward.core.schemas.runs import NodeRound, RoundRecord


@dataclass(frozen=True, slots=True)
class NodeReport:
    """What one node did in one round: ``seconds`` of its own work, bytes of messages to and from it.

    ``metrics`` are of its last local epoch, ``validation`` of the parameters that it received.
    """

    node: str
    rows: int
    seconds: float
    metrics: Mapping[str, float]
    sent_bytes: int = 0
    received_bytes: int = 0
    validation: Mapping[str, float] = field(default_factory=dict)
    validation_rows: int = 0


@dataclass(frozen=True, slots=True)
class RoundReport:
    """One round: what each node did, and why others did not. ``metrics`` are means weighted by rows.

    ``validation`` is of the model that the round made, over the nodes' held-out rows, weighted by them; it is
    known once these have judged it, one round later.
    """

    number: int
    seconds: float
    nodes: tuple[NodeReport, ...]
    failures: Mapping[str, str]
    validation: Mapping[str, float] = field(default_factory=dict)

    @property
    def metrics(self) -> dict[str, float]:
        """Loss and metrics of the nodes' last local epoch, weighted by rows."""
        return weighted(self.nodes, lambda report: report.metrics, lambda report: report.rows)


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """A trained model and how it got there.

    ``model`` is the one of ``best_round``, 0 being the given model: the best by validation, else the last.
    """

    model: torch.nn.Module = field(repr=False)
    history: list[RoundReport]
    best_round: int
    run_id: str


def weighted(
    reports: Iterable[NodeReport],
    values: Callable[[NodeReport], Mapping[str, float]],
    rows: Callable[[NodeReport], int],
) -> dict[str, float]:
    """Give means weighted by rows, each over the nodes that tell of it."""
    told = [(values(report), rows(report)) for report in reports]
    return {
        name: sum(one[name] * n for one, n in told if name in one) / sum(n for one, n in told if name in one)
        for name in sorted({name for one, n in told for name in one if n})
    }


def record_of(report: RoundReport) -> RoundRecord:
    """Write a report as it is kept and sent."""
    return RoundRecord(
        number=report.number,
        seconds=report.seconds,
        nodes=[node_record_of(one) for one in report.nodes],
        failures={name: why[:2000] for name, why in report.failures.items()},
        validation=_written(report.validation),
    )


def node_record_of(report: NodeReport) -> NodeRound:
    """Write what one node did; raises ``ValidationError`` if it cannot be kept: numbers that are none."""
    return NodeRound(
        node=report.node,
        rows=report.rows,
        seconds=report.seconds,
        metrics=_written(report.metrics),
        validation=_written(report.validation),
        validation_rows=report.validation_rows,
        sent_bytes=report.sent_bytes,
        received_bytes=report.received_bytes,
    )


def report_of(record: RoundRecord) -> RoundReport:
    """Read a report back."""
    nodes = tuple(NodeReport(**one.model_dump()) for one in record.nodes)
    return RoundReport(record.number, record.seconds, nodes, dict(record.failures), dict(record.validation))


def _written(values: Mapping[str, float]) -> dict[str, float]:
    return {name: value + 0.0 for name, value in values.items()}  # there is no minus zero in canonical JSON
