"""What a value was made of, and what a caller may do with that now."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session

from gridward.api import queries, queries_requests
from gridward.core.privacy.policy import Grant
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
    dataset = queries.visible_dataset(caller, db, source.dataset_id, now)
    if dataset is None:
        hidden = "a dataset that is not open to you"
        return Grant(source.table, hidden, frozenset(), source.rows, 1, reviewers=0)
    rights = queries.dataset_rights(caller, db, dataset, now, named)
    standing = queries_requests.standing_questions(caller, db, dataset.id)
    return Grant(
        source.table,
        dataset.name,
        rights.verbs,
        source.rows,
        dataset.min_rows,
        standing,
        dataset.reviewers,
        rights.ways,
    )
