"""Every SELECT over private rows; each takes the caller first, or says why it needs none."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Text, bindparam, cast, exists
from sqlalchemy import select as columns
from sqlmodel import Session, and_, col, func, or_, select
from sqlmodel.sql.expression import SelectOfScalar

from gridward.api.queries_access import concerning, rights_to_dataset
from gridward.api.tables.datasets import BlobUse, Dataset, DatasetVersion, Upload
from gridward.api.tables.memberships import Membership
from gridward.api.tables.rules import AccessRule
from gridward.core.privacy.access import DESCRIBE, DISCOVER, Rights
from gridward.core.schemas.node import MembershipState
from gridward.server.principals import Capability, Principal

VERBS = ("discover", "describe", "compute", "raw", "train", "export_model", "approve")


@dataclass(frozen=True, slots=True)
class Weighed:
    """What of a dataset decides on answers made of it; as in `Dataset`."""

    id: str
    name: str
    version: int
    user_id: str
    describe_apart: bool
    entities: int | None
    most_rows: int
    rows_are_entities: bool
    min_rows: int
    reviewers: int
    disclosure: dict[str, Any]


_WEIGHED: Final = columns(*(getattr(Dataset, field.name) for field in fields(Weighed))).where(
    col(Dataset.id) == bindparam("dataset")
)


def weighed_dataset(db: Session, dataset_id: str) -> Weighed | None:
    """Return what decides on a dataset, hidden or not: who asks may know of it iff they may discover it."""
    db.flush()
    row = db.connection().execute(_WEIGHED, {"dataset": dataset_id}).one_or_none()
    return None if row is None else Weighed(*row)


def visible_datasets(caller: Principal, now: datetime) -> SelectOfScalar[Dataset]:
    """Datasets that this caller may know to exist: any rule that speaks of them includes discovery."""
    rows = select(Dataset)
    if caller.owner:
        return rows
    about = col(AccessRule.dataset_id) == col(Dataset.id)
    return rows.where(or_(_publishes(caller), exists().where(about, concerning(caller, now))))


def visible_dataset(caller: Principal, db: Session, dataset_id: str, now: datetime) -> Dataset | None:
    """Return one dataset by id, unless it is hidden from the caller."""
    return db.exec(visible_datasets(caller, now).where(col(Dataset.id) == dataset_id)).one_or_none()


def dataset_rights(
    caller: Principal,
    db: Session,
    dataset: Dataset | Weighed,
    now: datetime,
    named: frozenset[str] = frozenset(),
) -> Rights:
    """Say what this caller may do with a dataset; its publisher and the node's owner may everything.

    ``discover`` is among it iff the dataset is among ``visible_datasets``.

    ``named``: digests of what is asked, for rules that hold for one plan only.
    """
    if caller.owner or (caller.user_id is not None and caller.user_id == dataset.user_id):
        return Rights(frozenset(VERBS))
    held = rights_to_dataset(caller, db, dataset.id, now, named)
    shown = DISCOVER in held.verbs and not dataset.describe_apart
    return replace(held, verbs=held.verbs | {DESCRIBE}) if shown else held


def dataset_verbs(caller: Principal, db: Session, dataset: Dataset, now: datetime) -> list[str]:
    """Say which verbs this caller has on a dataset, counted ones included."""
    held = dataset_rights(caller, db, dataset, now).all_verbs
    return [verb for verb in VERBS if verb in held]


def manages(caller: Principal, dataset: Dataset) -> bool:
    """Say whether the caller published the dataset or owns the node."""
    return caller.acts_for(dataset.user_id, Capability.PUBLISH) or (
        caller.owner and (caller.limited_to is None or caller.may(Capability.PUBLISH))
    )


def versions_of(db: Session, dataset_id: str) -> Sequence[DatasetVersion]:
    """Return what contents a dataset had, the newest first; for those who manage it."""
    rows = select(DatasetVersion).where(col(DatasetVersion.dataset_id) == dataset_id)
    return db.exec(rows.order_by(col(DatasetVersion.version).desc())).all()


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


def first_joined_membership(db: Session) -> Membership | None:
    """Return the gateway that vouches for this node, the oldest if there are several; for the node itself."""
    joined = col(Membership.state) == MembershipState.JOINED.value
    return db.exec(select(Membership).where(joined).order_by(col(Membership.created_at))).first()


def _publishes(caller: Principal) -> ColumnElement[bool]:
    return col(Dataset.user_id) == (caller.user_id or "")


def blobs_in_use(db: Session) -> set[str]:
    """Names of all blobs that something needs; for the sweep."""
    return set(db.exec(select(BlobUse.sha256)).all())


def upload_ids(db: Session) -> set[str]:
    """Ids of all open uploads; for the sweep."""
    return set(db.exec(select(Upload.id)).all())


def open_uploads(db: Session, user_id: str) -> int:
    """Number of a user's open uploads; for the limit."""
    return db.exec(select(func.count()).select_from(Upload).where(col(Upload.user_id) == user_id)).one()


def stale_uploads(db: Session, before: datetime) -> Sequence[Upload]:
    """Uploads that rest since `before`; for the expiry."""
    return db.exec(select(Upload).where(col(Upload.touched_at) < before)).all()


def with_tags(rows: SelectOfScalar[Dataset], tags: Sequence[str]) -> SelectOfScalar[Dataset]:
    """Keep the datasets that have all of these tags."""
    for tag in tags:
        # Tags hold no quotes or backslashes: a quoted tag is found in the stored JSON iff it is there.
        rows = rows.where(cast(col(Dataset.tags), Text).contains(f'"{tag}"', autoescape=True))
    return rows


def with_words(
    rows: SelectOfScalar[Dataset], text: str, caller: Principal, now: datetime
) -> SelectOfScalar[Dataset]:
    """Keep the datasets whose name or description has each word of a text, however it is written.

    Descriptions count where the caller may describe the dataset: a search tells no more than a look.
    """
    name, description = func.lower(col(Dataset.name)), func.lower(col(Dataset.description))
    for word in text.lower().split():
        said = description.contains(word, autoescape=True)
        said = said if caller.owner else and_(said, _described(caller, now))
        rows = rows.where(or_(name.contains(word, autoescape=True), said))
    return rows


def _described(caller: Principal, now: datetime) -> ColumnElement[bool]:
    about = col(AccessRule.dataset_id) == col(Dataset.id), col(AccessRule.verb) != DISCOVER
    return or_(
        col(Dataset.describe_apart).is_(False),
        _publishes(caller),
        exists().where(*about, concerning(caller, now)),
    )


def memberships(db: Session) -> Sequence[Membership]:
    """Return all memberships; for the node itself and whoever manages it."""
    return db.exec(select(Membership).order_by(col(Membership.created_at))).all()
