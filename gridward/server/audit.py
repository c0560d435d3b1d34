"""The audit log: one row per act or decision, in the act's own transaction, never changed afterwards.

Both services keep one; the table class is theirs (`api/tables`, `gateway/tables`). Database triggers made by
the migrations refuse updates and deletions.
"""

from datetime import datetime
from typing import TypeVar

from sqlmodel import Field, Session, SQLModel

from gridward.server.db import UtcDateTime
from gridward.server.principals import Principal


class AuditFields(SQLModel):
    """Columns of an audit row. It never holds data, secrets or balances."""

    id: int | None = Field(default=None, primary_key=True)
    at: datetime = Field(sa_type=UtcDateTime)
    actor: str = Field(max_length=80)
    session_id: str = Field(default="", max_length=64)
    action: str = Field(max_length=64)
    subject: str = Field(default="", max_length=200)
    decision: str = Field(max_length=32)
    reason: str = Field(default="", max_length=500)
    plan_digest: str | None = Field(default=None, max_length=64)


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
) -> None:
    """Append a row to the transaction `db`: it is there iff the act is there."""
    db.add(
        table(
            at=now,
            actor=caller.name if caller else "",
            session_id=caller.session_id if caller else "",
            action=action,
            subject=subject[:200],
            decision=decision,
            reason=reason[:500],
            plan_digest=plan_digest,
        )
    )
