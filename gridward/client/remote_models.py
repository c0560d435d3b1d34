"""A model at a node: sent there, trained and judged on its data, fetched back."""

import copy
import secrets
from collections.abc import Mapping
from typing import Final

import torch

from gridward.client import models, requests
from gridward.client.dataset_pointers import DatasetPointer
from gridward.client.parcels import Parcel, Sent
from gridward.client.place import Place
from gridward.client.progress import bar
from gridward.client.rules import ModelAccess
from gridward.client.training import Lesson, Loss, Metric, Recipe, Run, example_of, perform, request
from gridward.core.errors import ConflictError, TensorsNotCollocatedError, TrainingError
from gridward.core.plans.optimizers import Optimizer
from gridward.core.schemas.tensor import TensorInfo
from gridward.core.schemas.trainings import EpochMetrics

_BATCHES_SEEN: Final = "num_batches_tracked"


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
                example_of(x),
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
