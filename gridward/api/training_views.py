"""What is told of a training: how far it is, and to how many digits."""

from collections.abc import Mapping
from typing import Final

from gridward.api.node import Node
from gridward.api.tables.trainings import Training
from gridward.api.training_runs import Progress
from gridward.core.privacy.decision import Answer, Decision
from gridward.core.schemas.trainings import EpochMetrics, TrainingState

_DIGITS: Final = 3


def coarse_unless(decision: Decision, history: list[EpochMetrics]) -> list[EpochMetrics]:
    """Return a history as whoever may not export the model is told it: to few digits."""
    if decision.answer is Answer.VALUE:
        return history
    return [item.model_copy(update={"values": _coarse(item.values)}) for item in history]


def validation_of(
    training: Training, progress: Progress | None, decision: Decision
) -> dict[str, float] | None:
    """Return what was found of the parameters as received: to few digits for who may not export the model."""
    running = progress is not None and training.state == TrainingState.RUNNING
    told = progress.validation if progress is not None and running else training.validation
    return _coarse(told) if told is not None and decision.answer is not Answer.VALUE else told


def progress_of(
    node: Node, training: Training, progress: Progress | None
) -> tuple[list[EpochMetrics], float]:
    """Return a run's history and seconds: of now if it runs, which was asked before the row was read."""
    if progress is not None and training.state == TrainingState.RUNNING:
        return list(progress.history), node.trainings.elapsed_s(progress)
    return [EpochMetrics.model_validate(item) for item in training.history], training.seconds


def _coarse(values: Mapping[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.{_DIGITS}g}") for name, value in values.items()}
