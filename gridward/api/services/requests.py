"""Requests of those who want an answer: ask, list, read, comment; and what is new to whom."""

from datetime import datetime, timedelta
from typing import Final

from sqlmodel import Session, col, func, select

from gridward.api import computing, queries_requests
from gridward.api.computing import Found, Prepared
from gridward.api.node import Node
from gridward.api.questions import Question
from gridward.api.request_entry import enter
from gridward.api.request_events import TO_ASKER, TO_OFFICERS, note
from gridward.api.request_views import detail, outline
from gridward.api.tables.accounts import AuditEntry
from gridward.api.tables.datasets import Dataset
from gridward.api.tables.requests import AccessRequest, NotificationMark, RequestEvent, RequestSource
from gridward.core.errors import (
    AuthorizationError,
    ConflictError,
    GetNotPermittedError,
    InvalidInputError,
    ObjectNotFoundError,
    TooLargeError,
)
from gridward.core.plans import readable
from gridward.core.plans.dtypes import NAMES
from gridward.core.privacy.analysis import Level
from gridward.core.privacy.approvals import Outcome, Status
from gridward.core.privacy.decision import Asked, Reason
from gridward.core.privacy.policy import decide
from gridward.core.schemas.computations import QuestionIn
from gridward.core.schemas.requests import (
    EventKind,
    NotificationOut,
    NotificationsOut,
    ReleaseKind,
    RequestCounts,
    RequestDetail,
    RequestIn,
    RequestsOut,
)
from gridward.server import audit
from gridward.server.db import lock
from gridward.server.ids import new_id
from gridward.server.principals import Capability, Principal

_MOST_EVENTS: Final = 500


def ask(node: Node, caller: Principal, body: RequestIn) -> RequestDetail:
    """Put a question to those who may open the data. Nothing runs; nobody learns a value.

    Raises:
        DuplicateRequestError: the caller's same question waits already, or was approved; it is named.
        GetNotPermittedError: the caller's role may not ask, or an owner takes no requests.
        ConflictError: the rules give the answer already, or too many of the caller's requests wait.
        ObjectNotFoundError, PlanRejectedError, InvalidInputError, TooLargeError: what is asked.
    """
    if caller.user_id is None or not caller.may(Capability.COMPUTE):
        raise GetNotPermittedError(
            f"'{caller.name}' may not ask on this node; its owner may give such a role"
        )
    question = QuestionIn(plan=body.plan, sources=body.sources, values=body.values)
    text = question.model_dump_json(by_alias=True, exclude_none=True)
    if len(text.encode()) > node.settings.request_max_bytes:
        raise TooLargeError(f"a question to people has up to {node.settings.request_max_bytes} bytes")
    found = computing.find(node, caller, question)
    name = _require_askable(found)
    job = computing.load(node, found, question, release=True)
    _require_needed(node, caller, job, name)
    row = _row(node, caller, body, text, name, job)
    with node.database.write() as db:
        return enter(node, db, caller, row, _sources(db, row.id, found), found.subjects)


def list_visible(
    node: Node, caller: Principal, db: Session, status: Status | None, offset: int, limit: int
) -> RequestsOut:
    """List the caller's requests and those that they may decide on, newest first."""
    now = node.clock()
    wanted = queries_requests.visible_requests(caller, status, now)
    total = db.exec(select(func.count()).select_from(wanted.subquery())).one()
    newest = wanted.order_by(col(AccessRequest.created_at).desc(), col(AccessRequest.id).desc())
    ids = db.exec(newest.offset(offset).limit(limit)).all()
    rows = queries_requests.outlined(db, ids)
    sources = queries_requests.sources(db, [row.id for row in rows])
    items = [outline(row, sources, now) for row in rows]
    return RequestsOut(items=items, total=total, offset=offset, limit=limit)


def count(node: Node, caller: Principal, db: Session) -> RequestCounts:
    """Say how many of the requests that the caller sees stand where."""
    found = queries_requests.standings(caller, db, node.clock())
    return RequestCounts.model_validate({status.value: number for status, number in found.items()})


def get(node: Node, caller: Principal, db: Session, request_id: str) -> RequestDetail:
    """Describe a request whole, unless it is hidden from the caller or missing: the same refusal."""
    now = node.clock()
    return detail(db, caller, _visible(caller, db, request_id, now), now)


def comment(node: Node, caller: Principal, request_id: str, text: str) -> RequestDetail:
    """Say something to a request; its asker and those who decide read it."""
    now = node.clock()
    with node.database.write() as db:
        row = _visible(caller, db, request_id, now)
        if len(queries_requests.events(db, row.id)) >= _MOST_EVENTS:
            raise ConflictError(f"request {row.id} has a long history already; ask anew")
        note(node, db, caller, row.id, EventKind.COMMENTED, text, now)
        audit.record(db, AuditEntry, caller, now, "comment_request", row.id, request_id=row.id)
        return detail(db, caller, row, now)


def withdraw(node: Node, caller: Principal, request_id: str, text: str) -> RequestDetail:
    """Take one's own request back while nobody has decided; those who decide are told.

    Raises ``AuthorizationError`` for a request of somebody else, ``ConflictError`` where it does not wait.
    """
    now = node.clock()
    with node.database.write() as db:
        row = _visible(caller, db, request_id, now)
        if row.user_id != caller.user_id:
            raise AuthorizationError("whoever asked takes a request back; you may deny it")
        lock(db, f"request {request_id}")
        db.refresh(row)
        status = queries_requests.facts(row).status(now)
        if status is not Status.PENDING:
            raise ConflictError(f"request {row.id} is {status.value}, and waits for nobody")
        row.outcome, row.decided_by, row.decided_at = Outcome.WITHDRAWN.value, caller.name, now
        row.note = text
        db.add(row)
        db.flush()
        note(node, db, caller, row.id, EventKind.WITHDRAWN, text, now)
        audit.record(db, AuditEntry, caller, now, "withdraw_request", row.id, reason=text, request_id=row.id)
        return detail(db, caller, row, now)


def notifications(node: Node, caller: Principal, db: Session, limit: int) -> NotificationsOut:
    """What others did that concerns the caller, after their mark."""
    wanted = queries_requests.unseen_events(caller, TO_ASKER, TO_OFFICERS, node.clock())
    total = db.exec(select(func.count()).select_from(wanted.subquery())).one()
    rows = db.exec(wanted.order_by(col(RequestEvent.id)).limit(limit)).all()
    return NotificationsOut(items=[_notification(db, event) for event in rows], total=total)


def mark_seen(node: Node, caller: Principal, up_to: int) -> None:
    """Move the caller's mark, forward only."""
    if caller.user_id is None:
        return
    with node.database.write() as db:
        mark = db.get(NotificationMark, caller.user_id)
        newest = db.exec(select(func.max(RequestEvent.id))).one()
        reached = min(up_to, newest or 0)
        if mark is None:
            mark = NotificationMark(user_id=caller.user_id, last_event=reached)
        mark.last_event = max(mark.last_event, reached)
        db.add(mark)


def _require_askable(found: Found) -> Question:
    if found.question is None:
        raise InvalidInputError(
            "a request reads datasets only: those who decide must see all that is computed, so ask with the "
            "whole expression instead of a kept result"
        )
    closed = sorted({f"'{grant.name}'" for grant in found.grants if not grant.reviewers})
    if closed:
        raise GetNotPermittedError(f"the owner of {', '.join(closed)} takes no requests")
    return found.question


def _require_needed(node: Node, caller: Principal, job: Prepared, name: Question) -> None:
    asked = Asked(caller.user_id or "", name.digest, name.standing, node.clock())
    ruled = decide(job.analysis.findings, job.found.grants, [], finite=True, asked=asked)
    if ruled.reason in (Reason.PUBLIC, Reason.RAW_ACCESS, Reason.STANDING_RULE):
        raise ConflictError("nobody has to decide: get() gives you this value")


def _row(
    node: Node, caller: Principal, body: RequestIn, text: str, question: Question, job: Prepared
) -> AccessRequest:
    now = node.clock()
    lifetime_s = body.expires_in_s or node.settings.request_expiry_s
    findings = job.analysis.findings
    raw = any(found.level in (Level.ROWS, Level.OPAQUE) for found in findings.values())
    return AccessRequest(
        id=new_id("req"),
        user_id=caller.user_id or "",
        asked_by=caller.name,
        reason=body.reason,
        body=text,
        digest=question.digest,
        standing_digest=question.standing,
        plan_digest=job.found.digest,
        kind=(ReleaseKind.RAW if raw else ReleaseKind.VALUE).value,
        findings=[
            {"output": name, "level": found.level.value, "reason": found.reason}
            for name, found in findings.items()
        ],
        operations=_operations(body, job),
        created_at=now,
        expires_at=now + timedelta(seconds=lifetime_s),
        outcome=Outcome.OPEN.value,
    )


def _operations(body: RequestIn, job: Prepared) -> list[str]:
    names = {grant.table: grant.name for grant in job.found.grants}
    tables = {item.dataset_id: item.table for item in job.found.behind}
    sources = {
        source.input: f"'{source.tensor}' of dataset '{names[tables[source.dataset_id or '']]}'"
        for source in body.sources
    }
    types = {name: (NAMES[value.dtype], tuple(value.shape)) for name, value in job.values.items()}
    return readable.lines(job.found.plan, types, sources)


def _sources(db: Session, request_id: str, found: Found) -> list[RequestSource]:
    return [
        RequestSource(
            request_id=request_id,
            dataset_id=item.dataset_id,
            version=item.version,
            rows=item.rows,
            name=db.get_one(Dataset, item.dataset_id).name,
            tensors=found.tensors_of(item),
        )
        for item in found.behind
    ]


def _visible(caller: Principal, db: Session, request_id: str, now: datetime) -> AccessRequest:
    row = queries_requests.visible_request(caller, db, request_id, now)
    if row is None:
        raise ObjectNotFoundError(f"no request '{request_id}' for you on this node")
    return row


def _notification(db: Session, event: RequestEvent) -> NotificationOut:
    return NotificationOut(
        id=event.id or 0,
        at=event.at,
        request_id=event.request_id,
        asked_by=db.get_one(AccessRequest, event.request_id).asked_by,
        kind=EventKind(event.kind),
        actor=event.actor,
        text=event.text,
    )
