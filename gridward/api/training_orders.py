"""What an order to train says, read and checked: its plans, its rows, its parameters."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from sqlmodel import Session

from gridward.api import feeding, model_store, parameters, queries_results
from gridward.api.managed import described_dataset
from gridward.api.node import Node
from gridward.api.provenance import Behind
from gridward.api.tables.datasets import Dataset
from gridward.api.tables.models import Model
from gridward.core import tensors
from gridward.core.errors import AuthorizationError, InvalidInputError, ObjectNotFoundError
from gridward.core.plans import codec
from gridward.core.plans.dtypes import DTYPES
from gridward.core.plans.executors.rows import StoredRows
from gridward.core.plans.plan import Kind, Plan, Role
from gridward.core.schemas.plan import PlanDocument
from gridward.core.schemas.trainings import TrainingIn
from gridward.server.principals import Principal


@dataclass(frozen=True, slots=True)
class Plans:
    """What an order runs: a training, an evaluation of what it begins with, or both."""

    training: Plan | None
    evaluation: Plan | None

    @property
    def all(self) -> tuple[Plan, ...]:
        """Those there are, the one that names the run first."""
        return tuple(plan for plan in (self.training, self.evaluation) if plan is not None)


@dataclass(frozen=True, slots=True)
class Start:
    """What a run begins with: rows of one dataset, parameters, and the datasets behind both."""

    dataset: Dataset
    model: Model | None
    rows: Mapping[str, StoredRows]
    held: Mapping[str, torch.Tensor]
    private: frozenset[str]
    behind: tuple[Behind, ...]


def plans_of(body: TrainingIn) -> Plans:
    """Decode the plans that will run; raises ``PlanRejectedError``, ``InvalidInputError``."""
    training = _decoded(body.plan, Kind.TRAINING) if body.plan is not None else None
    judged = _decoded(body.evaluation.plan, Kind.EVALUATION) if body.evaluation is not None else None
    return Plans(training if body.epochs else None, judged)


def begin(node: Node, caller: Principal, db: Session, plans: Plans, body: TrainingIn) -> Start:
    """Find dataset, model and parameters.

    Raises:
        ObjectNotFoundError: dataset, tensor or model are missing, or hidden from the caller.
        AuthorizationError: the caller may not see what the dataset holds, or somebody else hosts the model.
        InvalidInputError: feeds or parameters are not those of the plans.
    """
    dataset = described_dataset(caller, db, body.dataset_id, node.clock())
    rows = {
        name: feeding.locate(feeding.of_dataset(node, dataset, tensor))
        for name, tensor in _paired(plans, body).items()
    }
    held = _given(node, caller, body)
    model = _model(node, caller, db, body.model_id) if body.model_id is not None else None
    stored = model_store.load(node, model) if model is not None else {}
    twice = sorted(held.keys() & stored.keys())
    if twice:
        raise InvalidInputError(f"the model has these parameters already: {', '.join(twice[:5])}")
    behind_model = model_store.behind_models(db, [model.id]) if model is not None else ()
    held |= stored
    if plans.training is not None:
        parameters.require(plans.training, held)
    if plans.evaluation is not None:
        parameters.require_among(plans.evaluation, held)
    private = frozenset(stored) if behind_model else frozenset[str]()
    return Start(dataset, model, rows, held, private, tuple(sorted({rows_of(dataset), *behind_model})))


def _given(node: Node, caller: Principal, body: TrainingIn) -> dict[str, torch.Tensor]:
    if body.parameters_upload is not None:
        if body.parameters:
            raise InvalidInputError("give the parameters in the message or as an upload, not both")
        return parameters.read_all(parameters.uploaded(node, caller, body.parameters_upload))
    held = {value.name: tensors.decode(value) for value in body.parameters}
    if len(held) != len(body.parameters):
        raise InvalidInputError("a parameter is given twice")
    return held


def rows_of(dataset: Dataset) -> Behind:
    """Name the rows of a dataset as they are now."""
    return Behind(dataset.id, dataset.version, dataset.rows)


def hyper(plan: Plan, body: TrainingIn) -> dict[str, torch.Tensor]:
    """Read the numbers that the plan's ``hyper`` inputs take; raises ``InvalidInputError``."""
    wanted = {given.name: given for given in plan.inputs if given.role is Role.HYPER}
    values = {item.input: item.value for item in body.hyper}
    if values.keys() != wanted.keys() or len(values) != len(body.hyper):
        raise InvalidInputError(f"give each of these numbers once: {', '.join(sorted(wanted)) or 'none'}")
    if any(given.shape for given in wanted.values()):
        raise InvalidInputError("hyper inputs are single numbers")
    return {name: torch.tensor(value, dtype=DTYPES[wanted[name].dtype]) for name, value in values.items()}


def held_out(node: Node, dataset: Dataset, body: TrainingIn) -> torch.Tensor | None:
    """Draw the numbers of the rows that are judged and never trained on; None if all rows are judged.

    The same seed, number and version of the data give the same rows, and nobody outside knows which. Another
    number gives others: nested ones would differ by single rows.
    """
    if body.evaluation is None or not body.evaluation.holdout:
        return None
    count = round(body.evaluation.holdout * dataset.rows)
    seed = secret_seed(node, dataset, f"{count} rows held out", body.evaluation.holdout_seed)
    order = torch.randperm(dataset.rows, generator=torch.Generator().manual_seed(seed))
    return order[:count].sort().values


def others(rows: int, held: torch.Tensor | None) -> torch.Tensor | None:
    """Give the numbers of all other rows; None if none is held out."""
    if held is None:
        return None
    left = torch.ones(rows, dtype=torch.bool)
    left[held] = False
    return left.nonzero().reshape(-1)


def secret_seed(node: Node, dataset: Dataset, purpose: str, seed: int) -> int:
    """Draw from the caller's seed and a secret: the same again, and unknown outside."""
    text = f"gridward {purpose} {rows_of(dataset).table} {seed}".encode()
    return int.from_bytes(hmac.new(node.keys.entity_secret, text, hashlib.sha256).digest()[:8], "big") >> 1


def _decoded(document: PlanDocument, kind: Kind) -> Plan:
    plan = codec.from_dict(document.model_dump(mode="json", by_alias=True, exclude_none=True))
    if plan.kind is not kind:
        raise InvalidInputError(f"this plan is for {plan.kind.value}, not for {kind.value}")
    return plan


def _paired(plans: Plans, body: TrainingIn) -> dict[str, str]:
    fed = {feed.input: feed.tensor for feed in body.feeds}
    wanted = {name for plan in plans.all for name in fed_inputs(plan)}
    if fed.keys() != wanted or len(fed) != len(body.feeds):
        raise InvalidInputError(f"feed each of these plan inputs once: {', '.join(sorted(wanted))}")
    return fed


def fed_inputs(plan: Plan) -> frozenset[str]:
    """Name the inputs that rows are fed to."""
    return frozenset(given.name for given in plan.inputs if given.role in (Role.DATA, Role.TARGET))


def _model(node: Node, caller: Principal, db: Session, model_id: str) -> Model:
    model = queries_results.visible_model(caller, db, model_id, node.clock())
    if model is None:
        raise ObjectNotFoundError(f"no model '{model_id}' on this node")
    if not queries_results.hosts(caller, model):
        raise AuthorizationError(f"only whoever hosts model '{model_id}' and the node's owner train it")
    return model
