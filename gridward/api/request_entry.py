"""How a request enters the queue, whatever it asks for: new, not one too many, noted, and written down."""

from collections.abc import Iterable, Sequence
from datetime import timedelta

from sqlmodel import Session

from gridward.api import queries_requests
from gridward.api.node import Node
from gridward.api.request_events import note
from gridward.api.request_views import detail
from gridward.api.tables.accounts import AuditEntry
from gridward.api.tables.requests import AccessRequest, RequestSource
from gridward.core.errors import ConflictError, DuplicateRequestError
from gridward.core.privacy.approvals import Status
from gridward.core.schemas.requests import EventKind, RequestDetail
from gridward.server import audit
from gridward.server.db import lock
from gridward.server.principals import Principal


def enter(
    node: Node,
    db: Session,
    caller: Principal,
    row: AccessRequest,
    sources: Iterable[RequestSource],
    subjects: Sequence[str],
) -> RequestDetail:
    """Put a request into the queue.

    Raises:
        DuplicateRequestError: the caller's same question waits already, or was approved; it is named.
        ConflictError: too many of the caller's requests wait.
    """
    lock(db, f"requests of {caller.user_id}")
    _require_new(node, caller, db, row.digest)
    db.add(row)
    db.flush()
    db.add_all(sources)
    note(node, db, caller, row.id, EventKind.ASKED, row.reason, row.created_at)
    audit.record(
        db,
        AuditEntry,
        caller,
        row.created_at,
        "ask",
        ",".join(subjects),
        reason=row.digest,
        plan_digest=row.plan_digest,
        request_id=row.id,
    )
    return detail(db, caller, row, row.created_at)


def _require_new(node: Node, caller: Principal, db: Session, digest: str) -> None:
    now = node.clock()
    for row in queries_requests.requests_of_question(caller, db, digest):
        status = queries_requests.facts(row).status(now)
        if status is Status.PENDING:
            raise DuplicateRequestError(f"you asked this already: request {row.id} waits for a decision")
        if status is Status.APPROVED:
            raise DuplicateRequestError(f"you asked this already: request {row.id} was approved; get() it")
    recent = now - timedelta(seconds=node.settings.request_expiry_s)
    if queries_requests.undecided_count(caller, db, now, recent) >= node.settings.requests_open:
        raise ConflictError(f"{node.settings.requests_open} requests of yours are undecided already")
