"""What a value was made of, and what a caller may do with that now."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlmodel import Session

from gridward.api import queries, queries_requests, storage
from gridward.api.node import Node
from gridward.api.queries import Weighed
from gridward.api.tables.datasets import Dataset, DatasetVersion
from gridward.core.privacy.access import DISCOVER, Rights
from gridward.core.privacy.decision import Grant
from gridward.core.privacy.disclosure import Thresholds
from gridward.core.schemas.datasets import Disclosure
from gridward.server.principals import Principal


@dataclass(frozen=True, slots=True, order=True)
class Behind:
    """One dataset, as it was when something was made of it."""

    dataset_id: str
    version: int
    rows: int

    @property
    def table(self) -> str:
        """Name of its rows: `id@version`."""
        return f"{self.dataset_id}@{self.version}"


def grants(
    caller: Principal,
    db: Session,
    sources: Iterable[Behind],
    now: datetime,
    named: frozenset[str] = frozenset(),
) -> list[Grant]:
    """Say what the caller may do now with each dataset behind a value; a deleted one allows nothing.

    ``named``: digests of what is asked, for rules that hold for one plan only.
    """
    return [_grant(caller, db, source, now, named) for source in sorted(set(sources))]


def _grant(caller: Principal, db: Session, source: Behind, now: datetime, named: frozenset[str]) -> Grant:
    dataset = queries.weighed_dataset(db, source.dataset_id)
    rights = Rights() if dataset is None else queries.dataset_rights(caller, db, dataset, now, named)
    if dataset is None or DISCOVER not in rights.verbs:
        hidden = "a dataset that is not open to you"
        return Grant(source.table, hidden, frozenset(), source.rows, 1, reviewers=0)
    standing = queries_requests.standing_questions(caller, db, dataset.id)
    entities, most_rows = _entities(db, dataset, source)
    return Grant(
        source.table,
        dataset.name,
        rights.verbs,
        source.rows,
        dataset.min_rows,
        standing,
        dataset.reviewers,
        entities,
        most_rows,
        _thresholds(dataset),
        rights.ways,
    )


def _entities(db: Session, dataset: Weighed, source: Behind) -> tuple[int | None, int]:
    """How many entities a version's rows are of, None where nobody said; and most rows of one of them."""
    if dataset.rows_are_entities:
        return source.rows, 1
    if dataset.version == source.version:
        return dataset.entities, dataset.most_rows
    former = db.get(DatasetVersion, (dataset.id, source.version))
    return (None, 1) if former is None else (former.entities, former.most_rows)


def entity_files(node: Node, db: Session, sources: Iterable[Behind]) -> dict[str, Path | None]:
    """Files that number the entities of those tables of which one entity may have several rows.

    None for a former version: how many entities its rows are of is known, and not any more which row is
    whose. For the node itself: no caller sees them. A dataset that was deleted has none.
    """
    found: dict[str, Path | None] = {}
    for source in sorted(set(sources)):
        dataset = db.get(Dataset, source.dataset_id)
        path = storage.entity_path(node, dataset) if dataset is not None else None
        if dataset is not None and path is not None:
            found[source.table] = path if dataset.version == source.version else None
    return found


def _thresholds(dataset: Weighed) -> Thresholds:
    told = Disclosure.model_validate(dataset.disclosure)
    return Thresholds(
        told.entities,
        told.largest_two,
        told.p_ratio,
        told.residual_degrees,
        told.parameter_share,
        told.round_counts,
    )
