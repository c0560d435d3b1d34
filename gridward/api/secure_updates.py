"""Trainings whose update leaves inside sums only: what is kept of them, and what is told."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

import torch

from gridward.api.training_runs import Ending
from gridward.core import tensors
from gridward.core.errors import InvalidInputError
from gridward.core.privacy.decision import Answer, Decision, Reason
from gridward.core.schemas.secure_aggregations import lesson_digest
from gridward.core.schemas.trainings import TrainingIn

_SEALED: Final = Decision(
    Answer.REFUSED,
    Reason.NO_ACCESS,
    "this training was started with secure: its update leaves inside sums only",
)


def lesson_of(body: TrainingIn, start: Mapping[str, torch.Tensor]) -> str | None:
    """Name what a secure training does to any rows, from which parameters; None for others.

    Raises ``InvalidInputError`` where it would change a hosted model, or nothing.
    """
    if not body.secure:
        return None
    if body.model_id is not None or not body.epochs:
        raise InvalidInputError("a secure training takes its parameters with it, and trains")
    return lesson_digest(body, tensors.digest(start))


def sealed(lesson: str | None, export: Decision) -> Decision:
    """Decide on parameters and fine metrics: nobody gets them of a secure training."""
    return export if lesson is None else _SEALED


def ending(
    lesson: str | None, before: Mapping[str, torch.Tensor], end: Callable[[Ending], None]
) -> Callable[[Ending], None]:
    """Have a secure training keep what changed, after - before, in place of its parameters."""
    if lesson is None:
        return end

    def keep_update(ended: Ending) -> None:
        training = ended.training
        if training is not None:
            update = {name: _change(value, before[name]) for name, value in training.parameters.items()}
            ended = replace(ended, training=replace(training, parameters=update))
        end(ended)

    return keep_update


def _change(after: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
    """Subtract; integers in 64 bits, since small ones have no sign."""
    if after.is_floating_point():
        return after - before
    return after.to(torch.int64) - before.to(torch.int64)
