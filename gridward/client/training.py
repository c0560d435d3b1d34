"""Training on a node: the model goes to the data as a plan, one message a run, and comes back as parameters."""

import copy
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import torch
from torch.nn import functional

from gridward.client import models, wire
from gridward.client.place import Place
from gridward.client.pointers import DatasetPointer
from gridward.client.rules import ModelAccess
from gridward.core.errors import (
    ConflictError,
    InvalidInputError,
    NodeUnreachableError,
    TensorsNotCollocatedError,
    TrainingError,
)
from gridward.core.plans import codec, trace
from gridward.core.plans.optimizers import SGD, Optimizer
from gridward.core.schemas.models import ParametersOut
from gridward.core.schemas.plan import PlanDocument
from gridward.core.schemas.tensor import TensorInfo
from gridward.core.schemas.trainings import EpochMetrics, Feed, Hyper, TrainingIn, TrainingOut, TrainingState

Loss: TypeAlias = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
_WAIT_S: Final = 20
_LOST_POLLS: Final = 5
_DEFAULT_LR: Final = 0.1


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train: loss, optimizer, and which tensors of a dataset are inputs and targets.

    Left out: cross-entropy for integer targets, the mean square error for others; SGD with a learning rate of
    0.1; of a dataset's two tensors the integer vector is the target.
    """

    loss: Loss | None = None
    optimizer: Optimizer | None = None
    inputs: str | None = None
    targets: str | None = None

    def paired(self, data: DatasetPointer) -> tuple[TensorInfo, TensorInfo]:
        """Find inputs and targets of a dataset; raises ``InvalidInputError`` where that is not clear."""
        infos = {info.name: info for info in data.tensors}
        names = (self.inputs, self.targets) if self.inputs and self.targets else _guessed(infos, self)
        missing = [name for name in names if name not in infos]
        if missing:
            raise InvalidInputError(f"{data.name!r} has no tensor {missing[0]!r}, only {', '.join(infos)}")
        return infos[names[0]], infos[names[1]]


@dataclass(frozen=True, slots=True)
class Lesson:
    """A training step as a plan, traced for one shape of samples."""

    plan: PlanDocument
    parameters: Mapping[str, torch.Tensor]
    hyper: tuple[Hyper, ...]
    inputs: str
    targets: str

    def request(
        self, data: DatasetPointer, x: TensorInfo, y: TensorInfo, parameters: Mapping[str, torch.Tensor],
        *, epochs: int, batch_size: int, seed: int, model_id: str | None = None,
    ) -> TrainingIn:
        """Write the message that starts a run."""
        return TrainingIn(
            plan=self.plan,
            dataset_id=data.dataset_id,
            feeds=[Feed(input=self.inputs, tensor=x.name), Feed(input=self.targets, tensor=y.name)],
            parameters=[wire.encode(name, value) for name, value in parameters.items()],
            model_id=model_id,
            hyper=list(self.hyper),
            epochs=epochs,
            batch_size=batch_size,
            seed=seed,
        )
