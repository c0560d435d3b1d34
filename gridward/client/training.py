"""Training on a node: a plan and parameters go to the data, one message a run; parameters come back."""

import contextlib
import copy
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import torch
from torch.nn import functional

from gridward.client import models, requests, wire
from gridward.client.checks import checked
from gridward.client.dataset_pointers import DatasetPointer
from gridward.client.downloads import fetch_tensors
from gridward.client.parcels import Parcel, Sent, take_back
from gridward.client.place import Place, segment
from gridward.client.progress import bar
from gridward.client.rules import ModelAccess
from gridward.core.errors import (
    ConflictError,
    GridError,
    InvalidInputError,
    NodeUnreachableError,
    PlanRejectedError,
    TensorsNotCollocatedError,
    TrainingError,
)
from gridward.core.federation.strategies import LocalRule
from gridward.core.plans import codec, trace
from gridward.core.plans.optimizers import LEARNING_RATE, SGD, Guided, Optimizer
from gridward.core.schemas.plan import PlanDocument
from gridward.core.schemas.tensor import TensorInfo
from gridward.core.schemas.trainings import (
    EpochMetrics,
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
_BATCHES_SEEN: Final = "num_batches_tracked"


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
        loss, batch = self._loss(y), (_example(x), _example(y))
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
        loss, batch = self._loss(y), (_example(x), _example(y))
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


class RemoteModel:
    """A model on its way over a node: train it there, then get it back.

    The node hosts it under a name of its own, visible to the sender only; ``get`` takes it away again.
    """

    def __init__(self, module: torch.nn.Module, location: Place) -> None:
        self._module = copy.deepcopy(module)
        self.location = location
        self.history: list[EpochMetrics] = []
        self._id: str | None = None
        self._hosted = frozenset[str]()
        self._steps = 0
        self._left = False
        self._attempt = secrets.token_hex(16)

    def __repr__(self) -> str:
        return f"<RemoteModel {type(self._module).__name__} @{self.location.name}>"

    def train(
        self,
        data: DatasetPointer,
        *,
        epochs: int = 1,
        batch_size: int = 64,
        loss: Loss | None = None,
        optimizer: Optimizer | None = None,
        inputs: str | None = None,
        targets: str | None = None,
        seed: int = 0,
    ) -> list[EpochMetrics]:
        """Train on a dataset of the same node; gives loss and metrics of each epoch.

        ``loss(output, targets)``: cross-entropy for integer targets, mean square error for others.
        ``optimizer``: SGD with a learning rate of 0.1; its state starts afresh. ``inputs`` and ``targets``
        name tensors of the dataset and may be left out where it has two. Raises ``TrainingError``,
        ``GetNotPermittedError``, ``AuthorizationError``, ``TensorsNotCollocatedError``.
        """
        self._require_collocated(data)
        recipe = Recipe(loss, optimizer, inputs, targets)
        pair = recipe.paired(data)
        lesson = recipe.lesson(self._module, *pair)
        self._arrive(pair[0])
        fresh = {key: value for key, value in lesson.parameters.items() if key not in self._hosted}
        run = Run(epochs, batch_size, seed)
        with Parcel(fresh) as parcel:
            sent = parcel.send(self.location.transport)
        body = request(lesson, data, pair, run, parameters=sent, model_id=self._id)
        with bar(f"Training on {self.location.name}", epochs) as advance:
            done = perform(self.location, body, lambda state: advance(state.epochs_done, ""))
        self.history += done.history
        self._steps += sum(epoch.steps for epoch in done.history)
        return done.history

    def evaluate(
        self,
        data: DatasetPointer,
        *,
        batch_size: int = 64,
        loss: Loss | None = None,
        metrics: Mapping[str, Metric] | None = None,
        inputs: str | None = None,
        targets: str | None = None,
        holdout: float = 0.0,
        holdout_seed: int = 0,
    ) -> dict[str, float]:
        """Judge the model as it is now over a dataset of the same node, in eval mode; it stays as it is.

        Gives ``loss``, ``accuracy`` for class targets, and ``metrics``: functions of output and targets that
        give the mean over a batch. ``holdout``: judge over this fraction of the rows only, those that a
        training with the same ``holdout_seed`` leaves out. Raises as ``train``.
        """
        self._require_collocated(data)
        recipe = Recipe(loss, None, inputs, targets, metrics or {})
        pair = recipe.paired(data)
        plan = recipe.examination(self._module, *pair)
        self._arrive(pair[0])
        lesson = Lesson(plan, {}, (), plan)
        body = request(
            lesson,
            data,
            pair,
            Run(0, batch_size),
            parameters=Sent(),
            model_id=self._id,
            holdout=holdout,
            holdout_seed=holdout_seed,
        )
        return dict(perform(self.location, body).validation or {})

    def get(self) -> torch.nn.Module:
        """Fetch the model and take it off the node.

        Raises ``GetNotPermittedError`` or ``ResultSuppressedError`` if an owner of the data that it was
        trained on does not let it go: ``request`` asks. A call that was cut off may be repeated.
        """
        self._present()
        trained = copy.deepcopy(self._module)
        if self._id is not None:
            load(trained, requests.exported(self.location, self._id, self._attempt))
            models.withdraw(self.location, self._id)
        for name, buffer in trained.named_buffers():
            if name.endswith(_BATCHES_SEEN):  # no output depends on it, so that the node does not hold it
                buffer += self._steps
        self._left = True
        return trained

    def request(self, reason: str) -> requests.Request:
        """Ask those who may open the data for the model as it is now; ``get`` fetches what they approved.

        Training it further makes it another model, which has to be asked for anew.
        """
        self._present()
        if self._id is None:
            raise ConflictError("it was not trained yet: get() gives it back")
        return requests.ask_for_model(self.location, self._id, reason)

    def discard(self) -> None:
        """Take the model off the node without fetching it."""
        self._present()
        if self._id is not None:
            models.withdraw(self.location, self._id)
        self._left = True

    def _present(self) -> None:
        if self._left:
            raise ConflictError(f"the model has left {self.location.name!r}; send it again")

    def _require_collocated(self, data: DatasetPointer) -> None:
        self._present()
        if data.location.id != self.location.id:
            raise TensorsNotCollocatedError(
                f"the model is on {self.location.name!r}, {data.name!r} on {data.location.name!r}"
            )

    def _arrive(self, x: TensorInfo) -> None:
        if self._id is None:
            model_id = f"{type(self._module).__name__}-{secrets.token_hex(6)}"
            served = models.serve(
                self.location,
                self._module,
                model_id,
                _example(x),
                description="sent for training",
                tags=(),
                access=ModelAccess(),
            )
            self._id, self._hosted = model_id, frozenset(info.name for info in served.parameters)


def send(model: torch.nn.Module, node: Place) -> RemoteModel:
    """Send a model to a node, to be trained there; it travels with the first training, which knows shapes."""
    return RemoteModel(model, node)


def load(module: torch.nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Put received parameters and buffers into a module; optimizer state among them is left out."""
    own = module.state_dict()
    with torch.no_grad():
        for name in own.keys() & tensors.keys():
            value = tensors[name]
            if value.shape != own[name].shape:
                raise TrainingError(f"{name!r} came back with shape {list(value.shape)}")
            own[name].copy_(value)


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


def _example(info: TensorInfo) -> torch.Tensor:
    return torch.zeros([2, *info.shape[1:]], dtype=wire.torch_dtype(info.dtype))


def _only(names: list[str]) -> str | None:
    return names[0] if len(names) == 1 else None
