"""SELECTs over objects, models and trainings; each takes the caller first, or says why it needs none."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import exists
from sqlmodel import Session, and_, col, func, or_, select, update
from sqlmodel.sql.expression import SelectOfScalar

from gridward.api.queries_access import concerning, rights_to_model
from gridward.api.tables.accounts import AuditEntry, User
from gridward.api.tables.datasets import Dataset
from gridward.api.tables.deployments import Deployment
from gridward.api.tables.models import Model, ModelSource
from gridward.api.tables.objects import ObjectSource, StoredObject
from gridward.api.tables.rules import AccessRule
from gridward.api.tables.secure_aggregations import UpdateContribution
from gridward.api.tables.trainings import Training, TrainingSource
from gridward.core.privacy.access import Rights
from gridward.core.schemas.deployments import DeploymentDocument, DeploymentState
from gridward.core.schemas.trainings import TrainingState
from gridward.server.principals import Capability, Principal

MODEL_VERBS = ("discover", "infer", "infer_encrypted", "download")


def own_objects(caller: Principal) -> SelectOfScalar[StoredObject]:
    """The caller's own objects; nobody sees another's, the node's owner included."""
    return select(StoredObject).where(col(StoredObject.user_id) == (caller.user_id or ""))


def own_object(caller: Principal, db: Session, object_id: str) -> StoredObject | None:
    """Return one of the caller's objects."""
    return db.exec(own_objects(caller).where(col(StoredObject.id) == object_id)).one_or_none()


def object_sources(db: Session, object_ids: Sequence[str]) -> Sequence[ObjectSource]:
    """Datasets behind objects; for those who hold the objects."""
    return db.exec(select(ObjectSource).where(col(ObjectSource.object_id).in_(object_ids))).all()


def visible_models(caller: Principal, now: datetime) -> SelectOfScalar[Model]:
    """Models that this caller may know to exist: any rule that speaks of them includes discovery."""
    rows = select(Model)
    if caller.owner:
        return rows
    about = col(AccessRule.model_id) == col(Model.id)
    listed = exists().where(about, concerning(caller, now))
    return rows.where(or_(col(Model.user_id) == (caller.user_id or ""), listed))


def visible_model(caller: Principal, db: Session, model_id: str, now: datetime) -> Model | None:
    """Return one model by id, unless it is hidden from the caller."""
    return db.exec(visible_models(caller, now).where(col(Model.id) == model_id)).one_or_none()


def model_rights(caller: Principal, db: Session, model: Model, now: datetime) -> Rights:
    """Say what this caller may do with a model; whoever hosts it and the node's owner may everything."""
    if hosts(caller, model):
        return Rights(frozenset(MODEL_VERBS))
    return rights_to_model(caller, db, model.id, now)


def model_verbs(caller: Principal, db: Session, model: Model, now: datetime) -> list[str]:
    """Say which verbs this caller has on a model, counted ones included."""
    held = model_rights(caller, db, model, now).all_verbs
    return [verb for verb in MODEL_VERBS if verb in held]


def hosts(caller: Principal, model: Model) -> bool:
    """Say whether the caller published the model or owns the node."""
    return caller.acts_for(model.user_id, Capability.HOST_MODELS) or (
        caller.owner and (caller.limited_to is None or caller.may(Capability.HOST_MODELS))
    )


def model_sources(db: Session, model_ids: Sequence[str]) -> Sequence[ModelSource]:
    """Datasets behind models' parameters; for the node itself, which decides by them."""
    return db.exec(select(ModelSource).where(col(ModelSource.model_id).in_(model_ids))).all()


def model_host(db: Session, model: Model) -> User | None:
    """Return the account that hosts a model; its rights bound what the model may give away."""
    return db.get(User, model.user_id)


def all_models(db: Session) -> Sequence[Model]:
    """Return every model; for the node itself, which tells its gateways the discoverable ones."""
    return db.exec(select(Model).order_by(col(Model.id))).all()


def deployment_of(db: Session, model_id: str) -> str | None:
    """Return the encrypted deployment that this node hosts for a model; its id is public with the model."""
    hosted = select(Deployment.id).where(col(Deployment.model_id) == model_id, col(Deployment.role) == "host")
    return db.exec(hosted.order_by(col(Deployment.created_at).desc())).first()


def host_key(db: Session, host_id: str) -> str | None:
    """Return the signing key of a node whose deployments this node serves; for the node itself."""
    served = col(Deployment.host_id) == host_id, col(Deployment.state) != DeploymentState.CLOSED.value
    found = db.exec(select(Deployment).where(*served).limit(1)).first()
    return DeploymentDocument.model_validate(found.document).host.sign_key if found is not None else None


def own_training(caller: Principal, db: Session, training_id: str) -> Training | None:
    """Return a run that the caller started and did not forget."""
    training = db.get(Training, training_id)
    mine = training is not None and training.user_id == caller.user_id and not training.forgotten
    return training if mine else None


def visible_trainings(caller: Principal) -> SelectOfScalar[Training]:
    """Runs that the caller started, and those on datasets that the caller published; the owner sees all."""
    rows = select(Training)
    if caller.owner:
        return rows
    user_id = caller.user_id or ""
    mine = and_(col(Training.user_id) == user_id, col(Training.forgotten).is_(False))
    published = select(Dataset.id).where(col(Dataset.user_id) == user_id)
    behind = exists().where(
        col(TrainingSource.training_id) == col(Training.id), col(TrainingSource.dataset_id).in_(published)
    )
    return rows.where(or_(mine, behind))


def training_sources(db: Session, training_id: str) -> Sequence[TrainingSource]:
    """Datasets behind a run's parameters; for the node itself, which decides by them."""
    return db.exec(select(TrainingSource).where(col(TrainingSource.training_id) == training_id)).all()


def contributed(db: Session, training_id: str) -> UpdateContribution | None:
    """Return the sum that a run's update went into; for the node itself, which gives it to no other."""
    return db.exec(
        select(UpdateContribution).where(col(UpdateContribution.training_id) == training_id)
    ).one_or_none()


def contributed_lesson(db: Session, user_id: str, lesson: str) -> bool:
    """Say whether an update of this lesson went into a sum of this user's; for the node itself."""
    mine = and_(col(Training.user_id) == user_id, col(Training.lesson) == lesson)
    wanted = select(UpdateContribution.document_id).join(Training).where(mine)
    return db.exec(wanted).first() is not None


def restored_at(db: Session) -> datetime | None:
    """Return when this node was last restored from a back-up; for the node itself."""
    return db.exec(select(func.max(AuditEntry.at)).where(col(AuditEntry.action) == "restore")).one()


def with_updates(db: Session) -> Sequence[Training]:
    """Return secure trainings whose update is kept; for the node itself, after a restore."""
    kept = and_(col(Training.lesson).is_not(None), col(Training.blob).is_not(None))
    return db.exec(select(Training).where(kept)).all()


def running_untold(db: Session) -> Sequence[str]:
    """Runs of which nobody had anything yet; for the node itself, at its start and stop."""
    running = col(Training.state) == TrainingState.RUNNING.value
    return db.exec(select(Training.id).where(running, col(Training.told).is_(False))).all()


def fail_running_trainings(db: Session, detail: str) -> None:
    """Mark runs that nobody runs any more; for the node itself, at its start."""
    running = col(Training.state) == TrainingState.RUNNING.value
    db.exec(update(Training).where(running).values(state=TrainingState.FAILED.value, detail=detail))


def count(db: Session, rows: SelectOfScalar[StoredObject] | SelectOfScalar[Model]) -> int:
    """Count the rows of a page's whole."""
    return db.exec(select(func.count()).select_from(rows.subquery())).one()
