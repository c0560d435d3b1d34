"""What was trained here and by whom, for those who started it and those who answer for the data.

A node sees its own part of a federated run only: each round is a training of its own, with the same plan.
"""

from collections.abc import Mapping

from sqlmodel import Session, col, func, select

from gridward.api import queries, queries_results
from gridward.api.node import Node
from gridward.api.provenance import Behind, grants
from gridward.api.secure_updates import sealed
from gridward.api.tables.trainings import Training
from gridward.api.training_runs import Progress
from gridward.api.training_views import coarse_unless, progress_of, validation_of
from gridward.core.errors import ObjectNotFoundError
from gridward.core.privacy.policy import decide_export
from gridward.core.schemas.trainings import TrainingRecord, TrainingsOut, TrainingState
from gridward.server.principals import Principal


def list_visible(
    node: Node,
    caller: Principal,
    *,
    dataset_id: str | None = None,
    plan_digest: str | None = None,
    started_by: str | None = None,
    offset: int = 0,
    limit: int = 50,
) -> TrainingsOut:
    """List runs that the caller started, or whose data the caller published; the node's owner sees all."""
    running = node.trainings.running()
    wanted = queries_results.visible_trainings(caller)
    if dataset_id is not None:
        wanted = wanted.where(col(Training.dataset_id) == dataset_id)
    if plan_digest is not None:
        wanted = wanted.where(col(Training.plan_digest) == plan_digest)
    if started_by is not None:
        wanted = wanted.where(col(Training.started_by) == started_by)
    newest = (col(Training.created_at).desc(), col(Training.id))
    with node.database.read() as db:
        rows = db.exec(wanted.order_by(*newest).offset(offset).limit(limit)).all()
        return TrainingsOut(
            items=[_record(node, caller, db, row, running) for row in rows],
            total=db.exec(select(func.count()).select_from(wanted.subquery())).one(),
            offset=offset,
            limit=limit,
        )


def get(node: Node, caller: Principal, training_id: str) -> TrainingRecord:
    """Return one of them; a hidden run and a missing one are the same refusal."""
    running = node.trainings.running()
    wanted = queries_results.visible_trainings(caller).where(col(Training.id) == training_id)
    with node.database.read() as db:
        row = db.exec(wanted).one_or_none()
        if row is None:
            raise ObjectNotFoundError(f"no training '{training_id}' that you may see")
        return _record(node, caller, db, row, running)


def _record(
    node: Node, caller: Principal, db: Session, row: Training, running: Mapping[str, Progress]
) -> TrainingRecord:
    progress = running.get(row.id)
    history, seconds = progress_of(node, row, progress)
    # Who started it is told by `trainings.describe`, which notes it: an untold run gives a counted use back.
    untold = row.user_id == caller.user_id and not row.told
    now = node.clock()
    sources = queries_results.training_sources(db, row.id)
    behind = [Behind(one.dataset_id, one.version, one.rows) for one in sources]
    dataset = queries.visible_dataset(caller, db, row.dataset_id, now)
    history = [] if untold else history
    export = sealed(row.lesson, decide_export(grants(caller, db, behind, now), row.parameters))
    return TrainingRecord(
        id=row.id,
        started_by=row.started_by,
        dataset_id=row.dataset_id,
        dataset_name=dataset.name if dataset is not None else None,
        dataset_version=row.dataset_version,
        rows=row.rows,
        model_id=row.model_id,
        plan_digest=row.plan_digest,
        state=TrainingState(row.state),
        detail=row.detail,
        epochs=row.epochs,
        epochs_done=len(history),
        history=coarse_unless(export, history),
        validation=None if untold else validation_of(row, progress, export),
        validation_rows=row.validation_rows,
        seconds=seconds,
        forgotten=row.forgotten,
        created_at=row.created_at,
    )
