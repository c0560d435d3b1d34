"""The audit log: one row per act or decision, in the act's own transaction, never changed afterwards.

Both services keep one; the table class is theirs (`api/tables`, `gateway/tables`). Rows are numbered and
chained when their transaction commits, so the lock that orders them is held for that moment only. Database
triggers made by the migrations refuse updates and deletions.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final, TypeVar

from sqlalchemy import event
from sqlmodel import Field, Session, SQLModel, col, select

from gridward.core.audit import GENESIS, digest_of, moment
from gridward.server.db import Database, UtcDateTime, lock
from gridward.server.principals import Principal

_WAITING: Final = "gridward_audit"
_PAGE: Final = 1000


class AuditFields(SQLModel):
    """Columns of an audit row. It never holds data, secrets or balances.

    ``id`` counts from 1 without gaps; ``digest`` covers the row and the digest before it. ``request_id`` is
    the request that an act is on or rests on, ``result_digest`` a keyed digest of what left.
    """

    id: int | None = Field(default=None, primary_key=True, sa_column_kwargs={"autoincrement": False})
    at: datetime = Field(sa_type=UtcDateTime)
    actor: str = Field(max_length=80)
    session_id: str = Field(default="", max_length=64)
    action: str = Field(max_length=64, index=True)
    subject: str = Field(default="", max_length=200)
    decision: str = Field(max_length=32)
    reason: str = Field(default="", max_length=500)
    plan_digest: str | None = Field(default=None, max_length=64)
    request_id: str | None = Field(default=None, max_length=64, index=True)
    result_digest: str | None = Field(default=None, max_length=64, index=True)
    digest: str = Field(default="", max_length=64)


AuditRow = TypeVar("AuditRow", bound=AuditFields)


def record(
    db: Session,
    table: type[AuditRow],
    caller: Principal | None,
    now: datetime,
    action: str,
    subject: str,
    *,
    decision: str = "done",
    reason: str = "",
    plan_digest: str | None = None,
    request_id: str | None = None,
    result_digest: str | None = None,
) -> None:
    """Append a row to the transaction `db`: it is there iff the act is there."""
    row = table(
        at=now,
        actor=caller.name if caller else "",
        session_id=caller.session_id if caller else "",
        action=action,
        subject=subject[:200],
        decision=decision,
        reason=reason[:500],
        plan_digest=plan_digest,
        request_id=request_id,
        result_digest=result_digest,
    )
    db.info.setdefault(_WAITING, []).append(row)


def stated(row: AuditFields) -> dict[str, Any]:
    """Return a row's columns as its digest covers them, and the digest."""
    return row.model_dump() | {"at": moment(row.at)}


def rows(database: Database, table: type[AuditFields]) -> Iterator[AuditFields]:
    """Read the whole log, first row first: a transaction for each thousand, however slowly they are taken."""
    read = 0
    ordered = select(table).order_by(col(table.id)).limit(_PAGE)
    while True:
        with database.read() as db:
            page = db.exec(ordered.where(col(table.id) > read)).all()
        if not page:
            return
        yield from page
        read = page[-1].id or 0


def last(db: Session, table: type[AuditFields]) -> tuple[int, str]:
    """Return the number of rows and the last one's digest."""
    newest = select(table.id, table.digest).order_by(col(table.id).desc()).limit(1)
    found = db.exec(newest).first()
    return (found[0] or 0, found[1]) if found else (0, GENESIS)


@event.listens_for(Session, "before_commit")
def _chain(db: Session) -> None:
    waiting: list[AuditFields] = db.info.pop(_WAITING, [])
    if not waiting:
        return
    db.flush()  # rows are locked before the log, by everybody
    lock(db, "audit")
    count, digest = last(db, type(waiting[0]))
    for number, row in enumerate(waiting, count + 1):
        row.id = number
        row.digest = digest = digest_of(digest, stated(row))
        db.add(row)
