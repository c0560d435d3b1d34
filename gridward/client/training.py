"""Training on a node: a plan and parameters go to the data, one message a run; parameters come back."""

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import torch
from torch.nn import functional

from gridward.client import wire
from gridward.client.checks import checked
from gridward.client.dataset_pointers import DatasetPointer
from gridward.client.downloads import fetch_tensors
from gridward.client.parcels import Sent, take_back
from gridward.client.place import Place, segment
from gridward.core.errors import (
    GridError,
    InvalidInputError,
    NodeUnreachableError,
    PlanRejectedError,
    TrainingError,
)
from gridward.core.federation.strategies import LocalRule
from gridward.core.plans import codec, trace
from gridward.core.plans.optimizers import LEARNING_RATE, SGD, Guided, Optimizer
from gridward.core.schemas.plan import PlanDocument
from gridward.core.schemas.tensor import TensorInfo
from gridward.core.schemas.trainings import (
    Evaluation,
    Feed,
    Hyper,
    TrainingIn,
    TrainingOut,
    TrainingState,
)

Loss: TypeAlias = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
Metric: TypeAlias = Loss
_WAIT_S: Final = 20
_LOST_POLLS: Final = 3
_DEFAULT_LR: Final = 0.1
_NOTHING_MORE: Final = LocalRule()


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train: loss, optimizer, and which tensors of a dataset are inputs and targets.

    Left out: cross-entropy for integer targets, the mean square error for others; SGD with a learning rate of
    0.1; of a dataset's two tensors the integer vector is the target. ``metrics``: functions of output and
    targets that give the mean over a batch, for evaluations; these tell loss and accuracy besides.
    """

    loss: Loss | None = None
    optimizer: Optimizer | None = None
    inputs: str | None = None
    targets: str | None = None
    metrics: Mapping[str, Metric] = field(default_factory=dict)

    def paired(self, data: DatasetPointer) -> tuple[TensorInfo, TensorInfo]:
        """Find inputs and targets of a dataset; raises ``InvalidInputError`` where that is not clear."""
        infos = {info.name: info for info in data.tensors}
        targets = self.targets or _only(
            [n for n, i in infos.items() if n != self.inputs and i.dtype == "int64" and len(i.shape) == 1]
        )
        inputs = self.inputs or _only([name for name in infos if name != targets])
        if not inputs or not targets:
            raise InvalidInputError(
                f"say which tensors of {data.name!r} are inputs= and targets=; it has {', '.join(infos)}"
            )
        missing = [name for name in (inputs, targets) if name not in infos]
        if missing:
            raise InvalidInputError(f"{data.name!r} has no tensor {missing[0]!r}; it has {', '.join(infos)}")
        return infos[inputs], infos[targets]

    def chosen_optimizer(self) -> Optimizer:
        """Give the optimizer, or the one where none was chosen."""
        return self.optimizer or SGD(lr=_DEFAULT_LR)

    def lesson(
        self, module: torch.nn.Module, x: TensorInfo, y: TensorInfo, local: LocalRule = _NOTHING_MORE
    ) -> "Lesson":
        """Trace one training step and one evaluation.

        Raises ``PlanRejectedError`` naming all that plans do not have.
        """
        optimizer = self.chosen_optimizer()
        if local != _NOTHING_MORE:
            optimizer = Guided(optimizer, local.proximal, local.controlled)
        loss, batch = self._loss(y), (example_of(x), example_of(y))
        with _blaming(module, "trained", x, y) as (student, name):
            traced = trace.trace_training(student, loss, optimizer, batch, name=name)
        return Lesson(
            plan=_document(traced),
            parameters=traced.parameters,  # of a copy of the module, which nobody else has
            hyper=tuple(Hyper(input=key, value=float(value)) for key, value in traced.hyper.items()),
            evaluation=self.examination(module, x, y),
        )

    def examination(self, module: torch.nn.Module, x: TensorInfo, y: TensorInfo) -> PlanDocument:
        """Trace loss, accuracy and metrics of a module in eval mode; raises ``PlanRejectedError``."""
        loss, batch = self._loss(y), (example_of(x), example_of(y))
        with _blaming(module, "evaluated", x, y) as (student, name):
            return _document(trace.trace_evaluation(student, loss, batch, name=name, metrics=self.metrics))

    def _loss(self, y: TensorInfo) -> Loss:
        return self.loss or (functional.cross_entropy if y.dtype == "int64" else functional.mse_loss)


@dataclass(frozen=True, slots=True)
class Lesson:
    """A training step as a plan, for one shape of samples; ``parameters`` with the optimizer's state.

    ``evaluation`` judges the module's own parameters by the same loss, in eval mode.
    """

    plan: PlanDocument
    parameters: Mapping[str, torch.Tensor]
    hyper: tuple[Hyper, ...]
    evaluation: PlanDocument


@dataclass(frozen=True, slots=True)
class Run:
    """How much to train: passes over all rows, rows a step, and the seed of the order."""

    epochs: int = 1
    batch_size: int = 64
    seed: int = 0


def request(
    lesson: Lesson,
    data: DatasetPointer,
    pair: tuple[TensorInfo, TensorInfo],
    run: Run,
    *,
    parameters: Sent,
    model_id: str | None = None,
    holdout: float = 0.0,
    holdout_seed: int = 0,
    lr_factor: float = 1.0,
) -> TrainingIn:
    """Write the message that starts a run.

    ``holdout``: fraction of the node's rows that judges ``parameters`` before they are trained, and that no
    step trains on while ``holdout_seed`` stays. With 0 there is no evaluation, unless ``run.epochs`` is 0:
    then all rows judge. ``lr_factor`` scales the learning rate of this run.
    """
    x, y = pair
    judged = bool(holdout) or run.epochs == 0
    with checked():
        return TrainingIn(
            plan=lesson.plan if run.epochs else None,
            dataset_id=data.dataset_id,
            feeds=[Feed(input="x", tensor=x.name), Feed(input="y", tensor=y.name)],
            parameters=list(parameters.inline),
            parameters_upload=parameters.upload_id,
            model_id=model_id,
            hyper=[_scaled(item, lr_factor) for item in lesson.hyper] if run.epochs else [],
            epochs=run.epochs,
            batch_size=run.batch_size,
            seed=run.seed,
            evaluation=Evaluation(plan=lesson.evaluation, holdout=holdout, holdout_seed=holdout_seed)
            if judged
            else None,
        )


def perform(
    node: Place, body: TrainingIn, on_epoch: Callable[[TrainingOut], None] = lambda _: None
) -> TrainingOut:
    """Start a run and wait for its end. A lost connection is taken up again; the node trains on meanwhile.

    Raises ``TrainingError`` with the node's name and reason if it failed there.
    """
    state = _started(node, body)
    lost = 0
    while state.state is TrainingState.RUNNING:
        on_epoch(state)
        try:
            state = node.transport.fetch(
                TrainingOut,
                "GET",
                f"/v1/trainings/{state.id}",
                params={"wait_s": _WAIT_S},
                timeout_s=_WAIT_S + 30.0,
            )
            lost = 0
        except NodeUnreachableError:
            lost += 1
            if lost == _LOST_POLLS:
                raise
    on_epoch(state)
    if state.state is TrainingState.FAILED:
        raise TrainingError(f"training on {node.name!r} failed: {state.detail}")
    return state


def trained(
    node: Place, run: TrainingOut, limit: Callable[[float], float] = float
) -> dict[str, torch.Tensor]:
    """Give the parameters of a run that is done, large ones mapped from a file; or none if none may go.

    ``limit`` as in ``fetch_tensors``.
    """
    if run.content_bytes:
        path = f"/v1/trainings/{segment(run.id)}/content"
        return fetch_tensors(node.transport, path, size_bytes=run.content_bytes, limit=limit)
    return {one.name: wire.decode(one) for one in run.parameters}


def _started(node: Place, body: TrainingIn) -> TrainingOut:
    try:
        return node.transport.fetch(TrainingOut, "POST", "/v1/trainings", body=body, timeout_s=120.0)
    except GridError:
        if body.parameters_upload is not None:
            take_back(node.transport, body.parameters_upload)
        raise


def _scaled(item: Hyper, factor: float) -> Hyper:
    return Hyper(input=item.input, value=item.value * factor) if item.input == LEARNING_RATE else item


def _document(traced: trace.Traced) -> PlanDocument:
    return PlanDocument.model_validate(codec.to_dict(traced.plan))


@contextlib.contextmanager
def _blaming(
    module: torch.nn.Module, what: str, x: TensorInfo, y: TensorInfo
) -> Iterator[tuple[torch.nn.Module, str]]:
    """Lend a copy of the module and its name; say of which model and data a refusal is."""
    name = type(module).__name__
    try:
        yield copy.deepcopy(module).to("cpu"), name
    except (PlanRejectedError, RuntimeError, TypeError, ValueError, IndexError) as why:
        raise PlanRejectedError(
            f"{name} cannot be {what} on {x.name!r} {x.dtype}{x.shape} and "
            f"{y.name!r} {y.dtype}{y.shape}: {why}"
        ) from why


def example_of(info: TensorInfo) -> torch.Tensor:
    """Give two samples of zeros, to trace with."""
    return torch.zeros([2, *info.shape[1:]], dtype=wire.torch_dtype(info.dtype))


def _only(names: list[str]) -> str | None:
    return names[0] if len(names) == 1 else None
