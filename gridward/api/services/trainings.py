"""Train a model on a dataset of this node, in the background; its parameters leave if the policy says so."""

import hashlib
import hmac
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import anyio
import torch
from anyio.to_thread import run_sync
from sqlmodel import Session

from gridward.api import (
    feeding,
    model_store,
    parameters,
    queries_results,
    rule_uses,
    secure_updates,
    storage,
    training_store,
)
from gridward.api.managed import described_dataset
from gridward.api.node import Node
from gridward.api.provenance import Behind, grants
from gridward.api.services import releases
from gridward.api.tables.datasets import Dataset
from gridward.api.tables.models import Model
from gridward.api.tables.trainings import Training, TrainingSource
from gridward.api.training_runs import Order, Progress
from gridward.core import tensors
from gridward.core.errors import (
    AuthorizationError,
    ConflictError,
    GridError,
    InvalidInputError,
    ObjectNotFoundError,
    PlanRejectedError,
)
from gridward.core.plans import codec
from gridward.core.plans.dtypes import DTYPES
from gridward.core.plans.executors.training import Schedule
from gridward.core.plans.plan import Kind, Plan, Role
from gridward.core.privacy.analysis import Feed, Level
from gridward.core.privacy.decision import Answer, Decision, Reason
from gridward.core.privacy.policy import decide_export, decide_training, settle_training
from gridward.core.schemas.tensor import Tensor
from gridward.core.schemas.trainings import INLINE_BYTES, EpochMetrics, TrainingIn, TrainingOut, TrainingState
from gridward.server.db import lock
from gridward.server.ids import new_id
from gridward.server.principals import Capability, Principal

INTERRUPTED: Final = "the node stopped while this training ran; start it again"
_POLL_S: Final = 0.1
_METRICS: Final = 4
_DIGITS: Final = 3


@dataclass(frozen=True, slots=True)
class Start:
    """What a run begins with: rows of one dataset, parameters, and the datasets behind both."""

    dataset: Dataset
    model: Model | None
    rows: Mapping[str, torch.Tensor]
    held: Mapping[str, torch.Tensor]
    private: frozenset[str]
    behind: tuple[Behind, ...]


def start(node: Node, caller: Principal, body: TrainingIn) -> TrainingOut:
    """Check everything, then train in the background.

    Who learns what: the caller the loss and metrics of each epoch, and the parameters if it may export them.
    If it may not, or asked for ``secure``, at most four metrics, and all of it to three digits: a metric may
    be any function of the parameters, so that a patient caller still learns something of them.
    The order of rows is drawn from ``seed`` and a secret of this node: the caller does not learn which rows
    were together in a batch.

    Raises:
        ObjectNotFoundError: dataset, tensor or model are missing, or hidden from the caller.
        AuthorizationError: the caller may not train on it.
        PlanRejectedError: a result would depend on single rows; names the steps.
        ResultSuppressedError: batches are smaller than the dataset's owner allows.
        BusyError: too many trainings wait; says when to come back.
    """
    caller.require(Capability.TRAIN)
    plan = codec.from_dict(body.plan.model_dump(mode="json", by_alias=True, exclude_none=True))
    if plan.kind is not Kind.TRAINING:
        raise InvalidInputError(f"this plan is for {plan.kind.value}, not for training")
    digest = codec.digest(plan)
    with node.database.read() as db:
        begin = _begin(node, caller, db, plan, body)
        granted = grants(caller, db, begin.behind, node.clock(), frozenset((digest,)))
    fewest = min(body.batch_size, begin.dataset.rows)
    granted = settle_training(granted, fewest_rows=fewest)
    hyper = _hyper(plan, body)
    min_rows = max(grant.fewest_batch for grant in granted)
    sizes = _batch_sizes(begin.dataset.rows, body.batch_size, min_rows)
    refusals = _refusals(plan, begin, hyper, sizes)
    decision = decide_training(granted, fewest_rows=fewest, refusals=refusals)
    lesson = secure_updates.lesson_of(body, begin.held)
    export = secure_updates.sealed(lesson, decide_export(granted, parameters.count(plan)))
    if decision.answer is Answer.VALUE and export.answer is not Answer.VALUE:
        _require_few_metrics(plan)
    error: type[GridError] = (
        PlanRejectedError if decision.reason is Reason.NOT_AN_AGGREGATE else AuthorizationError
    )
    subjects = [item.table for item in begin.behind]
    door = partial(
        releases.settle,
        node,
        caller,
        decision,
        action="train",
        subjects=subjects,
        plan_digest=digest,
        refused=error,
    )
    if decision.answer is not Answer.VALUE:
        door()
    seed = _secret_seed(node, begin.dataset, body.seed)
    schedule = Schedule(min(body.batch_size, begin.dataset.rows), body.epochs, seed, min_rows)
    order = Order(new_id("trn"), plan, begin.held, begin.rows, hyper, schedule)
    return _launch(node, caller, body, begin, order, lesson, door)


def mark_interrupted(node: Node) -> None:
    """Fail the runs that a stop or crash of this node ended; uses are given back where nothing was told."""
    with node.database.write() as db:
        for run_id in queries_results.running_untold(db):
            rule_uses.give_back(db, run_id, node.clock())
        queries_results.fail_running_trainings(db, INTERRUPTED)


async def wait(node: Node, caller: Principal, training_id: str, wait_s: float) -> TrainingOut:
    """Describe a run of the caller's; waits for its next epoch or its end, at most ``wait_s`` seconds.

    Holds no thread while it waits. Parameters are in the answer once the run is done and if the caller may
    export them, each time written into the audit log.
    """
    await run_sync(_own, node, caller, training_id)
    seen = _stage(node, training_id)
    deadline = time.monotonic() + wait_s
    while seen is not None and _stage(node, training_id) == seen and time.monotonic() < deadline:
        await anyio.sleep(_POLL_S)
    return await run_sync(partial(describe, node, caller, training_id))


def describe(node: Node, caller: Principal, training_id: str) -> TrainingOut:
    """Say where a run of the caller's stands."""
    progress = node.trainings.progress(training_id)
    training = _own(node, caller, training_id)
    history, seconds = progress_of(node, training, progress)
    if history and not training.told and not _note_told(node, training_id):
        training, history = _own(node, caller, training_id), []
    export = _export(node, caller, training)
    history = coarse_unless(export.decision, history)
    exported = training.blob if export.decision.answer is Answer.VALUE else None
    size_bytes = node.blobs.path(exported).stat().st_size if exported is not None else 0
    small = size_bytes <= INLINE_BYTES
    return TrainingOut(
        id=training.id,
        state=TrainingState(training.state),
        detail=training.detail,
        rows=training.rows,
        epochs_done=len(history),
        history=history,
        seconds=seconds,
        parameters=_parameters(node, caller, training, exported, export) if small else [],
        content_bytes=0 if small else size_bytes,
        withheld="" if export.decision.answer is Answer.VALUE else export.decision.detail,
        created_at=training.created_at,
    )


def content(node: Node, caller: Principal, training_id: str) -> Path:
    """Release the trained parameters of a run of the caller's as a file; each call is a release of its own.

    Raises:
        ObjectNotFoundError: no such run, or it has no parameters, or none yet.
        GetNotPermittedError: an owner of the data behind it does not let it go.
    """
    training = _own(node, caller, training_id)
    if training.blob is None:
        raise ObjectNotFoundError(f"training '{training_id}' has no parameters")
    _release(node, caller, training, training.blob, _export(node, caller, training))
    return node.blobs.path(training.blob)


def _note_told(node: Node, training_id: str) -> bool:
    """Note that something of a run is told; False where it failed meanwhile and gave its use back."""
    with node.database.write() as db:
        lock(db, f"training {training_id}")
        training = db.get_one(Training, training_id)
        training.told = training.state != TrainingState.FAILED or bool(training.history)
        db.add(training)
        return training.told


def remove(node: Node, caller: Principal, training_id: str) -> None:
    """Forget a run with its parameters; those who answer for its data keep the record.

    One that still runs is cancelled: it ends after its epoch. Raises `ConflictError` while one just ends.
    """
    with node.database.write() as db:
        training = queries_results.own_training(caller, db, training_id)
        if training is None:
            raise ObjectNotFoundError(f"no training '{training_id}' of yours on this node")
        if training.state == TrainingState.RUNNING and not node.trainings.cancel(training.id):
            raise ConflictError("it ends at this moment; try again")
        unused = storage.drop(db, training.id)
        training.blob, training.forgotten = None, True
        db.add(training)
    storage.collect(node, unused)


def _begin(node: Node, caller: Principal, db: Session, plan: Plan, body: TrainingIn) -> Start:
    dataset = described_dataset(caller, db, body.dataset_id, node.clock())
    rows = {
        name: feeding.load(feeding.of_dataset(node, dataset, tensor))
        for name, tensor in _paired(plan, body).items()
    }
    held = _given(node, caller, body)
    model = _model(node, caller, db, body.model_id) if body.model_id is not None else None
    stored = model_store.load(node, model) if model is not None else {}
    twice = sorted(held.keys() & stored.keys())
    if twice:
        raise InvalidInputError(f"the model has these parameters already: {', '.join(twice[:5])}")
    behind_model = model_store.behind_models(db, [model.id]) if model is not None else ()
    held |= stored
    parameters.require(plan, held)
    private = frozenset(stored) if behind_model else frozenset[str]()
    return Start(dataset, model, rows, held, private, tuple(sorted({_rows_of(dataset), *behind_model})))


def _given(node: Node, caller: Principal, body: TrainingIn) -> dict[str, torch.Tensor]:
    if body.parameters_upload is not None:
        if body.parameters:
            raise InvalidInputError("give the parameters in the message or as an upload, not both")
        return parameters.read_all(parameters.uploaded(node, caller, body.parameters_upload))
    held = {value.name: tensors.decode(value) for value in body.parameters}
    if len(held) != len(body.parameters):
        raise InvalidInputError("a parameter is given twice")
    return held


def _rows_of(dataset: Dataset) -> Behind:
    return Behind(dataset.id, dataset.version, dataset.rows)


def _paired(plan: Plan, body: TrainingIn) -> dict[str, str]:
    fed = {feed.input: feed.tensor for feed in body.feeds}
    wanted = {given.name for given in plan.inputs if given.role in (Role.DATA, Role.TARGET)}
    if fed.keys() != wanted or len(fed) != len(body.feeds):
        raise InvalidInputError(f"feed each of these plan inputs once: {', '.join(sorted(wanted))}")
    return fed


def _model(node: Node, caller: Principal, db: Session, model_id: str) -> Model:
    model = queries_results.visible_model(caller, db, model_id, node.clock())
    if model is None:
        raise ObjectNotFoundError(f"no model '{model_id}' on this node")
    if not queries_results.hosts(caller, model):
        raise AuthorizationError(f"only whoever hosts model '{model_id}' and the node's owner train it")
    return model


def _hyper(plan: Plan, body: TrainingIn) -> dict[str, torch.Tensor]:
    wanted = {given.name: given for given in plan.inputs if given.role is Role.HYPER}
    values = {item.input: item.value for item in body.hyper}
    if values.keys() != wanted.keys() or len(values) != len(body.hyper):
        raise InvalidInputError(f"give each of these numbers once: {', '.join(sorted(wanted)) or 'none'}")
    if any(given.shape for given in wanted.values()):
        raise InvalidInputError("hyper inputs are single numbers")
    return {name: torch.tensor(value, dtype=DTYPES[wanted[name].dtype]) for name, value in values.items()}


def _batch_sizes(rows: int, batch_size: int, min_rows: int) -> list[int]:
    """Sizes that batches may have: full ones, a last one, and a last one that took in a small remainder."""
    full = min(rows, batch_size)
    remainder = rows % full
    last = {remainder} if remainder >= min_rows else set[int]()
    return sorted({full, full + remainder} | last)


def _refusals(
    plan: Plan, begin: Start, hyper: Mapping[str, torch.Tensor], sizes: Sequence[int]
) -> tuple[str, ...]:
    """What the analysis objects to at any size that a batch may have."""
    table = _rows_of(begin.dataset).table
    feeds = {name: Feed(Level.ROWS, table) for name in begin.rows}
    feeds |= {name: Feed(Level.AGGREGATE) for name in begin.private}
    found: dict[str, None] = {}
    for size in sizes:
        batch = {name: value[:size] for name, value in begin.rows.items()}
        values = feeding.meta_values(plan, {**begin.held, **hyper, **batch})
        known = feeding.analyse_plan(plan, values, feeds, counted=False)
        found |= dict.fromkeys(known.refusals)
    return tuple(found)


def _require_few_metrics(plan: Plan) -> None:
    """A metric may be any function of the parameters: who may not have these gets few and coarse ones."""
    metrics = sum(output.role is Role.METRIC for output in plan.outputs)
    if metrics > _METRICS:
        raise PlanRejectedError(
            f"the plan tells {metrics} metrics; who may not export the model gets {_METRICS} at most"
        )


def _coarse(item: EpochMetrics) -> EpochMetrics:
    coarse = {name: float(f"{value:.{_DIGITS}g}") for name, value in item.values.items()}
    return item.model_copy(update={"values": coarse})


def _secret_seed(node: Node, dataset: Dataset, seed: int) -> int:
    """Draw the order of rows from the caller's seed and a secret: the same again, and unknown outside."""
    text = f"gridward order of rows {_rows_of(dataset).table} {seed}".encode()
    return int.from_bytes(hmac.new(node.keys.entity_secret, text, hashlib.sha256).digest()[:8], "big") >> 1


def _launch(
    node: Node,
    caller: Principal,
    body: TrainingIn,
    begin: Start,
    order: Order,
    lesson: str | None,
    door: Callable[..., None],
) -> TrainingOut:
    node.trainings.admit()
    training = Training(
        id=order.id,
        user_id=caller.user_id or "",
        started_by=caller.name,
        dataset_id=begin.dataset.id,
        dataset_version=begin.dataset.version,
        rows=begin.dataset.rows,
        model_id=body.model_id,
        plan_digest=codec.digest(order.plan),
        lesson=lesson,
        parameters=parameters.count(order.plan),
        state=TrainingState.RUNNING.value,
        epochs=body.epochs,
        history=[],
        created_at=node.clock(),
    )

    def begins(db: Session) -> None:
        if body.parameters_upload is not None:
            storage.use_up(db, body.parameters_upload)
        db.add(training)
        db.flush()
        db.add_all(
            TrainingSource(training_id=order.id, dataset_id=b.dataset_id, version=b.version, rows=b.rows)
            for b in begin.behind
        )

    try:
        # Once there is room, and in one transaction: a run that does not start uses no rule up.
        door(run_id=order.id, begin=begins)
    except BaseException:
        node.trainings.give_up()
        raise
    if body.parameters_upload is not None:
        node.blobs.part(body.parameters_upload).unlink(missing_ok=True)  # whoever mapped it keeps its view
    base = begin.model.version if begin.model is not None else 0
    end = partial(training_store.end, node, caller, order.id, base, begin.behind)
    node.trainings.start(order, secure_updates.ending(lesson, begin.held, end))
    return describe(node, caller, order.id)


def coarse_unless(decision: Decision, history: list[EpochMetrics]) -> list[EpochMetrics]:
    """Return a history as whoever may not export the model is told it: to few digits."""
    return history if decision.answer is Answer.VALUE else [_coarse(item) for item in history]


def progress_of(
    node: Node, training: Training, progress: Progress | None
) -> tuple[list[EpochMetrics], float]:
    """Return a run's history and seconds: of now if it runs, which was asked before the row was read."""
    if progress is not None and training.state == TrainingState.RUNNING:
        return list(progress.history), node.trainings.elapsed_s(progress)
    return [EpochMetrics.model_validate(item) for item in training.history], training.seconds


def _own(node: Node, caller: Principal, training_id: str) -> Training:
    with node.database.read() as db:
        training = queries_results.own_training(caller, db, training_id)
    if training is None:
        raise ObjectNotFoundError(f"no training '{training_id}' of yours on this node")
    return training


def _stage(node: Node, training_id: str) -> int | None:
    progress = node.trainings.progress(training_id)
    return len(progress.history) if progress is not None else None


@dataclass(frozen=True, slots=True)
class Export:
    """Whether a run's parameters may leave now, and what is behind them."""

    decision: Decision
    behind: tuple[Behind, ...]


def _export(node: Node, caller: Principal, training: Training) -> Export:
    with node.database.read() as db:
        rows = queries_results.training_sources(db, training.id)
        behind = tuple(Behind(row.dataset_id, row.version, row.rows) for row in rows)
        export = decide_export(grants(caller, db, behind, node.clock()), training.parameters)
        return Export(secure_updates.sealed(training.lesson, export), behind)


def _parameters(
    node: Node, caller: Principal, training: Training, exported: str | None, export: Export
) -> list[Tensor]:
    values = _release(node, caller, training, exported, export) if exported is not None else {}
    return [tensors.encode(name, value) for name, value in sorted(values.items())]


def _release(
    node: Node, caller: Principal, training: Training, exported: str, export: Export
) -> dict[str, torch.Tensor]:
    values = parameters.read_all(node.blobs.path(exported))
    releases.settle(
        node,
        caller,
        export.decision,
        action="parameters",
        subjects=[training.id, *(item.table for item in export.behind)],
        plan_digest=training.plan_digest,
        values=values,
    )
    return values
