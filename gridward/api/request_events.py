"""The history of requests: a line for each act, in its transaction. Notifications are read from it."""

from datetime import datetime
from typing import Final

from sqlmodel import Session

from gridward.api.tables.requests import RequestEvent
from gridward.core.schemas.requests import EventKind
from gridward.server.db import lock
from gridward.server.principals import Principal

TO_ASKER: Final = tuple(
    kind.value
    for kind in (
        EventKind.COMMENTED,
        EventKind.AGREED,
        EventKind.APPROVED,
        EventKind.DENIED,
        EventKind.REVOKED,
    )
)
TO_OFFICERS: Final = tuple(
    kind.value for kind in (EventKind.ASKED, EventKind.COMMENTED, EventKind.AGREED, EventKind.WITHDRAWN)
)


def note(db: Session, caller: Principal, request_id: str, kind: EventKind, text: str, now: datetime) -> None:
    """Append a line. Writers take turns, so that a number seen means that all lower ones were there."""
    lock(db, "request events")
    db.add(
        RequestEvent(
            request_id=request_id,
            user_id=caller.user_id or "",
            actor=caller.name,
            kind=kind.value,
            text=text,
            at=now,
        )
    )
    db.flush()
