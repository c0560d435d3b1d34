"""The history of requests: a line for each act, in its transaction. Notifications are read from it."""

from datetime import datetime
from typing import Final

from sqlmodel import Session

from gridward.api import request_mail
from gridward.api.node import Node
from gridward.api.tables.requests import RequestEvent
from gridward.core.schemas.requests import EventKind
from gridward.server.db import lock
from gridward.server.principals import Principal

TO_ASKER: Final = tuple(kind.value for kind in request_mail.TO_ASKER)
TO_OFFICERS: Final = tuple(kind.value for kind in request_mail.TO_OFFICERS)


def note(
    node: Node, db: Session, caller: Principal, request_id: str, kind: EventKind, text: str, now: datetime
) -> None:
    """Append a line, and letters to those whom it concerns.

    Writers take turns, so that a number seen means that all lower ones were there.
    """
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
    request_mail.tell(db, node.accounts, caller, request_id, kind)
