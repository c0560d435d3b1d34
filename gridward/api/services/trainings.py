"""Train a model on a dataset of this node, in the background; its parameters leave if the policy says so."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import anyio
import torch
from anyio.to_thread import run_sync
from sqlmodel import Session

from gridward.api import (
    parameters,
    queries_results,
    rule_uses,
    secure_updates,
    storage,
    training_store,
)
from gridward.api import training_orders as orders
from gridward.api.node import Node
from gridward.api.provenance import Behind, grants
from gridward.api.services import releases
from gridward.api.tables.trainings import Training, TrainingSource
from gridward.api.training_parts import Part, parts_of
from gridward.api.training_runs import Order
from gridward.api.training_views import coarse_unless, progress_of, validation_of
from gridward.core import tensors
from gridward.core.errors import (
    AuthorizationError,
    ConflictError,
    GridError,
    ObjectNotFoundError,
    PlanRejectedError,
)
from gridward.core.plans.plan import Kind, Plan, Role
from gridward.core.privacy.decision import Answer, Decision, Reason
from gridward.core.privacy.policy import decide_export
from gridward.core.schemas.tensor import Tensor
from gridward.core.schemas.trainings import INLINE_BYTES, TrainingIn, TrainingOut, TrainingState
from gridward.server.db import lock
from gridward.server.ids import new_id
from gridward.server.principals import Capability, Principal

INTERRUPTED: Final = "the node stopped while this training ran; start it again"
_POLL_S: Final = 0.1
_METRICS: Final = 64
_METRICS_SEALED: Final = 4


def start(node: Node, caller: Principal, body: TrainingIn) -> TrainingOut:
    """Check everything, then judge the parameters as received, and train, in the background.

    Who learns what: the caller the loss and metrics of each epoch and of the evaluation, and the parameters
    if it may export them. If it may not, or asked for ``secure``, at most four metrics, and all of it to
    three digits: a metric may be any function of the parameters, so that a patient caller still learns
    something of them.
    The order of rows is drawn from ``seed`` and a secret of this node, and so are the rows held out: the
    caller does not learn which rows were together in a batch, or which ones were judged.

    Raises:
        ObjectNotFoundError: dataset, tensor or model are missing, or hidden from the caller.
        AuthorizationError: the caller may not train on it.
        PlanRejectedError: a result would depend on single rows; names the steps.
        ResultSuppressedError: batches are smaller than the dataset's owner allows.
        ConflictError: the id that the caller drew is taken.
        BusyError: too many trainings wait; says when to come back.
    """
    caller.require(Capability.TRAIN)
    plans = orders.plans_of(body)
    with node.database.read() as db:
        begin = orders.begin(node, caller, db, plans, body)
        held_out = orders.held_out(node, begin.dataset, body)
        parts = parts_of(node, caller, db, begin, plans, body, held_out)
    hyper = orders.hyper(plans.training, body) if plans.training is not None else {}
    judged = [part.judge(begin, hyper if part.plan is plans.training else {}) for part in parts]
    lesson = secure_updates.lesson_of(body, begin.held)
    export = decide_export(parts[0].granted, parameters.count(parts[0].plan))
    export = secure_updates.sealed(lesson, export)
    for part, decision in zip(parts, judged, strict=True):
        if decision.answer is not Answer.VALUE:
            _door(node, caller, begin, part.digest, decision)()
    _require_few_metrics(plans.all, _METRICS if export.answer is Answer.VALUE else _METRICS_SEALED)
    uses = tuple(sorted({use for decision in judged for use in decision.uses}))
    door = _door(node, caller, begin, parts[0].digest, replace(judged[0], uses=uses))
    seed = orders.secret_seed(node, begin.dataset, "order of rows", body.seed)
    tasks = {part.plan.kind: part.task(max(1, body.epochs), seed) for part in parts}
    order = Order(
        body.id or new_id("trn"),
        tasks.get(Kind.TRAINING),
        tasks.get(Kind.EVALUATION),
        begin.held,
        begin.rows,
        hyper,
    )
    return _launch(node, caller, body, begin, order, parts, lesson, door)


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
    if training.state == TrainingState.RUNNING and progress is None:
        training_store.lose(node, training_id)
        training = _own(node, caller, training_id)
    history, seconds = progress_of(node, training, progress)
    export = _export(node, caller, training)
    validation = validation_of(training, progress, export.decision)
    if (history or validation) and not training.told and not _note_told(node, training_id):
        training, history, validation = _own(node, caller, training_id), [], None
    history = coarse_unless(export.decision, history)
    exported = training.blob if export.decision.answer is Answer.VALUE else None
    size_bytes = _size(node, training_id, exported) if exported is not None else 0
    small = size_bytes <= INLINE_BYTES
    return TrainingOut(
        id=training.id,
        state=TrainingState(training.state),
        detail=training.detail,
        rows=training.rows,
        epochs_done=len(history),
        history=history,
        validation=validation,
        validation_rows=training.validation_rows,
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
    _size(node, training_id, training.blob)
    _release(node, caller, training, training.blob, _export(node, caller, training))
    return node.blobs.path(training.blob)


def _note_told(node: Node, training_id: str) -> bool:
    """Note that something of a run is told; False where it failed meanwhile and gave its use back."""
    with node.database.write() as db:
        lock(db, f"training {training_id}")
        training = db.get_one(Training, training_id)
        training.told = training.state != TrainingState.FAILED or bool(
            training.history or training.validation
        )
        db.add(training)
        return training.told


def remove(node: Node, caller: Principal, training_id: str) -> None:
    """Forget a run with its parameters; those who answer for its data keep the record.

    One that still runs is cancelled: its process is ended. Raises `ConflictError` while one just ends.
    """
    progress = node.trainings.progress(training_id)
    if _own(node, caller, training_id).state == TrainingState.RUNNING and progress is None:
        training_store.lose(node, training_id)
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


def _door(
    node: Node, caller: Principal, begin: orders.Start, digest: str, decision: Decision
) -> Callable[[], None]:
    """Write a decision down and raise what it refuses, when called."""
    error: type[GridError] = (
        PlanRejectedError if decision.reason is Reason.NOT_AN_AGGREGATE else AuthorizationError
    )
    return partial(
        releases.settle,
        node,
        caller,
        decision,
        action="train",
        subjects=[item.table for item in begin.behind],
        plan_digest=digest,
        refused=error,
    )


def _require_few_metrics(plans: Iterable[Plan], most: int) -> None:
    """A metric may be any function of rows and parameters: who may not have these gets few, coarse ones."""
    metrics = sum(output.role is Role.METRIC for plan in plans for output in plan.outputs)
    if metrics > most:
        raise PlanRejectedError(
            f"the plans tell {metrics} metrics; {_METRICS} are the most, {_METRICS_SEALED} for who may not "
            "export the model"
        )


def _size(node: Node, training_id: str, blob: str) -> int:
    try:
        return node.blobs.path(blob).stat().st_size
    except FileNotFoundError as why:
        raise ObjectNotFoundError(f"training '{training_id}' was forgotten at this moment") from why


def _launch(
    node: Node,
    caller: Principal,
    body: TrainingIn,
    begin: orders.Start,
    order: Order,
    parts: Sequence[Part],
    lesson: str | None,
    door: Callable[..., None],
) -> TrainingOut:
    node.trainings.admit(order.id)
    training = Training(
        id=order.id,
        user_id=caller.user_id or "",
        started_by=caller.name,
        dataset_id=begin.dataset.id,
        dataset_version=begin.dataset.version,
        rows=sum(part.rows for part in parts if part.plan.kind is Kind.TRAINING),
        model_id=body.model_id,
        plan_digest=parts[0].digest,
        parameters=parameters.count(parts[0].plan),
        lesson=lesson,
        state=TrainingState.RUNNING.value,
        epochs=body.epochs,
        history=[],
        validation_rows=sum(part.rows for part in parts if part.plan.kind is Kind.EVALUATION),
        created_at=node.clock(),
    )

    def begins(db: Session) -> None:
        if db.get(Training, order.id) is not None:
            raise ConflictError(f"there is a training '{order.id}'; draw another id")
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
        node.trainings.give_up(order.id)
        raise
    if body.parameters_upload is not None:
        node.blobs.part(body.parameters_upload).unlink(missing_ok=True)  # whoever mapped it keeps its view
    base = begin.model.version if begin.model is not None else 0
    end = partial(training_store.end, node, caller, order.id, base, begin.behind)
    node.trainings.start(order, secure_updates.ending(lesson, begin.held, end))
    return describe(node, caller, order.id)


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
