"""Every SELECT over private rows; each takes the caller first, or says why it needs none."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, exists
from sqlmodel import Session, and_, col, func, or_, select
from sqlmodel.sql.expression import SelectOfScalar

from gridward.api.tables.datasets import BlobUse, Dataset, DatasetGrant, Upload
from gridward.api.tables.memberships import Membership
from gridward.core.schemas.node import MembershipState
from gridward.server.principals import Principal

VERBS = ("discover", "compute", "raw", "train", "export_model")


def visible_datasets(caller: Principal) -> SelectOfScalar[Dataset]:
    """Datasets that this caller may know to exist: any verb includes discovery."""
    rows = select(Dataset)
    if caller.owner:
        return rows
    granted = [
        and_(col(DatasetGrant.verb) == verb, col(DatasetGrant.entry).in_(caller.entries(verb)))
        for verb in VERBS
        if caller.entries(verb)
    ]
    listed = exists().where(col(DatasetGrant.dataset_id) == col(Dataset.id), or_(*granted))
    return rows.where(or_(_publishes(caller), listed))


def visible_dataset(caller: Principal, db: Session, dataset_id: str) -> Dataset | None:
    """Return one dataset by id, unless it is hidden from the caller."""
    return db.exec(visible_datasets(caller).where(col(Dataset.id) == dataset_id)).one_or_none()


def dataset_verbs(caller: Principal, db: Session, dataset: Dataset) -> list[str]:
    """Say which verbs this caller has on a dataset; the publisher and the node's owner have all."""
    if manages(caller, dataset):
        return list(VERBS)
    grants = db.exec(select(DatasetGrant).where(col(DatasetGrant.dataset_id) == dataset.id)).all()
    held = {grant.verb for grant in grants if grant.entry in caller.entries(grant.verb)}
    return [verb for verb in VERBS if verb in held or (verb == "discover" and held)]


def manages(caller: Principal, dataset: Dataset) -> bool:
    """Say whether the caller published the dataset or owns the node."""
    return caller.owner or (caller.user_id is not None and caller.user_id == dataset.user_id)


def grants_of(db: Session, dataset_ids: Sequence[str]) -> Sequence[DatasetGrant]:
    """Return the rules of datasets; for the node itself (catalogue) and for those who manage them."""
    return db.exec(select(DatasetGrant).where(col(DatasetGrant.dataset_id).in_(dataset_ids))).all()


def all_datasets(db: Session) -> Sequence[Dataset]:
    """Return every dataset; for the node itself, which tells its gateways the discoverable ones."""
    return db.exec(select(Dataset).order_by(col(Dataset.id))).all()


def own_upload(caller: Principal, db: Session, upload_id: str) -> Upload | None:
    """Return the caller's own upload; nobody sees another's, the node's owner included."""
    upload = db.get(Upload, upload_id)
    return upload if upload is not None and upload.user_id == caller.user_id else None


def stored_bytes(db: Session, user_id: str | None) -> int:
    """Return the bytes of open uploads and blobs of one user, or of all; for quotas."""
    uploads = select(func.coalesce(func.sum(Upload.size_bytes), 0))
    blobs = select(func.coalesce(func.sum(BlobUse.size_bytes), 0))
    if user_id is not None:
        uploads = uploads.where(col(Upload.user_id) == user_id)
        blobs = blobs.where(col(BlobUse.user_id) == user_id)
    return int(db.exec(uploads).one()) + int(db.exec(blobs).one())


def joined_membership(db: Session, gateway_id: str) -> Membership | None:
    """Return the membership whose pinned key may sign identities; for the node itself."""
    membership = db.get(Membership, gateway_id)
    return membership if membership and membership.state == MembershipState.JOINED else None


def _publishes(caller: Principal) -> ColumnElement[bool]:
    return col(Dataset.user_id) == (caller.user_id or "")
