"""Letters about requests: who gets one of an act, and what it says.

A letter names the request, people, and what kind of thing happened. What was asked, why, of which data, and
what was said stays on the node: it is read after signing in.
"""

from datetime import datetime
from typing import Final

from sqlmodel import Session

from gridward.api import queries_requests
from gridward.api.tables.accounts import CustomRole, User
from gridward.api.tables.requests import AccessRequest
from gridward.core.schemas.requests import EventKind
from gridward.server import outbox, roles
from gridward.server.accounts import Accounts
from gridward.server.outbox import Letter
from gridward.server.principals import Capability, Principal

TO_ASKER: Final = (
    EventKind.COMMENTED,
    EventKind.AGREED,
    EventKind.APPROVED,
    EventKind.DENIED,
    EventKind.REVOKED,
)
TO_OFFICERS: Final = (EventKind.ASKED, EventKind.COMMENTED, EventKind.AGREED, EventKind.WITHDRAWN)
WORDS: Final[dict[EventKind, str]] = {
    EventKind.ASKED: "asks for a decision",
    EventKind.COMMENTED: "said something",
    EventKind.AGREED: "agreed; another person has to as well",
    EventKind.APPROVED: "approved it",
    EventKind.DENIED: "denied it",
    EventKind.REVOKED: "revoked its approval",
    EventKind.WITHDRAWN: "took the request back",
    EventKind.USED: "took an answer",
}


def tell(db: Session, accounts: Accounts, caller: Principal, request_id: str, kind: EventKind) -> None:
    """Put a letter for everybody whom the caller's act concerns into the transaction `db`."""
    if not outbox.sends(accounts):
        return
    request = db.get_one(AccessRequest, request_id)
    letter = about(kind, request, caller.name, accounts.settings.url())
    if kind in TO_OFFICERS:
        for user in queries_requests.reached_by_mail(db):
            if user.id != caller.user_id and _decides(db, user, request, accounts.clock()):
                outbox.notify(db, accounts, user, letter)
    if kind in TO_ASKER and request.user_id != caller.user_id:
        outbox.notify(db, accounts, db.get_one(User, request.user_id), letter)


def about(kind: EventKind, request: AccessRequest, actor: str, url: str) -> Letter:
    """Say what happened to a request."""
    whose = "" if actor == request.asked_by else f" of {request.asked_by}"
    return Letter(
        f"Request {request.id}: {actor} {WORDS[kind].partition(';')[0]}",
        f"{actor} {WORDS[kind]}: request {request.id}{whose} at {url}.\n\n"
        f"Sign in to read it, for example:\n\n    gridward request show {request.id} --url {url}\n",
    )


def _decides(db: Session, user: User, request: AccessRequest, now: datetime) -> bool:
    officer = roles.principal(db, CustomRole, user)
    if not (officer.may(Capability.DECIDE_REQUESTS) or officer.may(Capability.TRIAGE_REQUESTS)):
        return False
    return queries_requests.decides_on(officer, db, request.id, now)
