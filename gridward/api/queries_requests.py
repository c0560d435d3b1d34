"""SELECTs over requests; each takes the caller first, or says why it needs none."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, bindparam, case, exists, false, true
from sqlalchemy import select as sql_select
from sqlalchemy.orm import defer
from sqlmodel import Session, and_, col, func, or_, select
from sqlmodel.sql.expression import SelectOfScalar

from gridward.api.queries_access import concerning
from gridward.api.tables.accounts import User
from gridward.api.tables.datasets import Dataset
from gridward.api.tables.requests import (
    AccessRequest,
    NotificationMark,
    Released,
    RequestEvent,
    RequestSource,
    RequestUse,
    RequestVote,
    StandingRule,
)
from gridward.api.tables.rules import AccessRule
from gridward.core.privacy.approvals import Outcome, Request, Status, Terms
from gridward.core.schemas.accounts import MailChoice
from gridward.server.principals import Capability, Principal

APPROVE: Final = "approve"
_STANDING: Final = sql_select(col(StandingRule.question)).where(
    col(StandingRule.dataset_id) == bindparam("dataset"), col(StandingRule.user_id) == bindparam("user")
)


def own_requests(caller: Principal) -> ColumnElement[bool]:
    """Say which requests the caller asked."""
    return col(AccessRequest.user_id) == (caller.user_id or "")


def decidable(caller: Principal, now: datetime) -> ColumnElement[bool]:
    """Say which requests of others the caller may read to decide on.

    Those who triage see all; who decides without that sees what reads a dataset that they may open.
    """
    others = col(AccessRequest.user_id) != (caller.user_id or "")
    if caller.may(Capability.TRIAGE_REQUESTS):
        return others
    if not caller.may(Capability.DECIDE_REQUESTS):
        return false()
    listed = exists().where(
        col(AccessRule.dataset_id) == col(Dataset.id),
        col(AccessRule.verb) == APPROVE,
        concerning(caller, now),
    )
    opens = exists().where(
        col(RequestSource.request_id) == col(AccessRequest.id),
        col(RequestSource.dataset_id) == col(Dataset.id),
        or_(col(Dataset.user_id) == (caller.user_id or ""), listed),
    )
    return and_(others, opens)


def visible_requests(caller: Principal, status: Status | None, now: datetime) -> SelectOfScalar[str]:
    """Ids of the caller's own requests and of those that they may decide on."""
    rows = select(AccessRequest.id).where(or_(own_requests(caller), decidable(caller, now)))
    return rows if status is None else rows.where(_stands(status, now))


def standings(caller: Principal, db: Session, now: datetime) -> dict[Status, int]:
    """How many of the visible requests stand where: one pass for all."""
    sums = [func.sum(case((_stands(status, now), 1), else_=0)) for status in Status]
    wanted = (
        sql_select(*sums).select_from(AccessRequest).where(or_(own_requests(caller), decidable(caller, now)))
    )
    (found,) = db.execute(wanted).all()
    return {status: number or 0 for status, number in zip(Status, found, strict=True)}


def outlined(db: Session, request_ids: Sequence[str]) -> Sequence[AccessRequest]:
    """Requests without what only the whole of one shows, in this order; for those who may read them."""
    large: Sequence[Any] = (AccessRequest.body, AccessRequest.operations, AccessRequest.findings)
    wanted = select(AccessRequest).where(col(AccessRequest.id).in_(request_ids))
    rows = {row.id: row for row in db.exec(wanted.options(*(defer(part) for part in large)))}
    return [rows[id_] for id_ in request_ids]


def visible_request(caller: Principal, db: Session, request_id: str, now: datetime) -> AccessRequest | None:
    """Return one request, unless it is hidden from the caller."""
    rows = select(AccessRequest).where(or_(own_requests(caller), decidable(caller, now)))
    return db.exec(rows.where(col(AccessRequest.id) == request_id)).one_or_none()


def decides_on(caller: Principal, db: Session, request_id: str, now: datetime) -> bool:
    """Say whether the caller may read this request to decide on it."""
    wanted = select(AccessRequest.id).where(decidable(caller, now), col(AccessRequest.id) == request_id)
    return db.exec(wanted).first() is not None


def reached_by_mail(db: Session) -> Sequence[User]:
    """Accounts that want notices by e-mail; each must be asked about before it is told anything."""
    wanted = select(User).where(col(User.email_confirmed).is_(True), col(User.disabled).is_(False))
    return db.exec(wanted.where(col(User.mails) == MailChoice.ALL.value).order_by(col(User.id))).all()


def asks_at_all(caller: Principal, db: Session) -> bool:
    """Say whether the caller has any request here: without one, no question needs a name."""
    return db.exec(select(AccessRequest.id).where(own_requests(caller)).limit(1)).first() is not None


def requests_of_question(caller: Principal, db: Session, digest: str) -> Sequence[AccessRequest]:
    """The caller's requests of one question, oldest first."""
    wanted = select(AccessRequest).where(own_requests(caller), col(AccessRequest.digest) == digest)
    return db.exec(wanted.order_by(col(AccessRequest.created_at))).all()


def requests_on(caller: Principal, db: Session, dataset_ids: Sequence[str]) -> Sequence[AccessRequest]:
    """The caller's requests that were approved and read one of these datasets, newest first."""
    reads = select(RequestSource.request_id).where(col(RequestSource.dataset_id).in_(dataset_ids))
    approved = col(AccessRequest.outcome) == Outcome.APPROVED.value
    wanted = select(AccessRequest).where(own_requests(caller), approved, col(AccessRequest.id).in_(reads))
    return db.exec(wanted.order_by(col(AccessRequest.created_at).desc())).all()


def attempt_had(caller: Principal, db: Session, attempt: str, digest: str | None) -> bool:
    """Say whether an attempt of the caller had the answer to another question by an approval."""
    uses = select(RequestUse.request_id).join(
        AccessRequest, col(AccessRequest.id) == col(RequestUse.request_id)
    )
    other = col(AccessRequest.digest) != (digest or "")
    return (
        db.exec(uses.where(own_requests(caller), other, col(RequestUse.attempt) == attempt)).first()
        is not None
    )


def undecided_count(caller: Principal, db: Session, now: datetime, recent: datetime) -> int:
    """Number of the caller's requests that wait, or were asked after `recent` and were not decided."""
    rows = select(func.count()).select_from(AccessRequest).where(own_requests(caller))
    outcome, asked_at = col(AccessRequest.outcome), col(AccessRequest.created_at)
    waits = and_(outcome == Outcome.OPEN.value, col(AccessRequest.expires_at) > now)
    undecided = outcome.in_((Outcome.OPEN.value, Outcome.WITHDRAWN.value))
    return db.exec(rows.where(or_(waits, and_(undecided, asked_at > recent)))).one()


def sources(db: Session, request_ids: Sequence[str]) -> Sequence[RequestSource]:
    """Datasets behind requests; for those who may read the requests."""
    wanted = select(RequestSource).where(col(RequestSource.request_id).in_(request_ids))
    return db.exec(wanted.order_by(col(RequestSource.dataset_id))).all()


def votes(db: Session, request_id: str) -> Sequence[RequestVote]:
    """Every yes to a request; for those who may read it."""
    wanted = select(RequestVote).where(col(RequestVote.request_id) == request_id)
    return db.exec(wanted.order_by(col(RequestVote.at))).all()


def events(db: Session, request_id: str) -> Sequence[RequestEvent]:
    """History of a request, oldest first; for those who may read it."""
    wanted = select(RequestEvent).where(col(RequestEvent.request_id) == request_id)
    return db.exec(wanted.order_by(col(RequestEvent.id))).all()


def use_of_attempt(db: Session, request_ids: Sequence[str], attempt: str) -> RequestUse | None:
    """The use that an attempt took, while its answer is kept; for the asker of these requests."""
    wanted = select(RequestUse).where(col(RequestUse.request_id).in_(request_ids))
    return db.exec(
        wanted.where(col(RequestUse.attempt) == attempt, col(RequestUse.blob).is_not(None))
    ).first()


def use_by_attempt(db: Session, request_ids: Sequence[str], attempt: str) -> RequestUse | None:
    """The use that an attempt took, whether or not an answer is kept; for the asker of these requests."""
    wanted = select(RequestUse).where(col(RequestUse.request_id).in_(request_ids))
    return db.exec(wanted.where(col(RequestUse.attempt) == attempt)).first()


def uses_with_answers(db: Session, before: datetime) -> Sequence[RequestUse]:
    """Uses older than `before` whose answers are still kept; for the expiry."""
    kept = select(RequestUse).where(col(RequestUse.at) < before, col(RequestUse.blob).is_not(None))
    return db.exec(kept).all()


def standing_questions(caller: Principal, db: Session, dataset_id: str) -> frozenset[str]:
    """Questions on a dataset that its rules open to the caller."""
    db.flush()
    found = db.connection().execute(_STANDING, {"dataset": dataset_id, "user": caller.user_id or ""})
    return frozenset(found.scalars())


def standing_rules(db: Session, dataset_id: str) -> Sequence[StandingRule]:
    """Standing rules of a dataset; for those who manage it."""
    wanted = select(StandingRule).where(col(StandingRule.dataset_id) == dataset_id)
    return db.exec(wanted.order_by(col(StandingRule.made_at))).all()


def had_before(
    db: Session, user_id: str, dataset_ids: Sequence[str], most: int
) -> tuple[int, Sequence[Released]]:
    """How many parts of answers on these datasets a user had, and the newest; for those who decide."""
    mine = col(Released.user_id) == user_id, col(Released.dataset_id).in_(dataset_ids)
    total = db.exec(select(func.count()).select_from(Released).where(*mine)).one()
    newest = select(Released).where(*mine).order_by(col(Released.id).desc()).limit(most)
    return total, db.exec(newest).all()


def unseen_events(
    caller: Principal, told: Sequence[str], asked: Sequence[str], now: datetime
) -> SelectOfScalar[RequestEvent]:
    """Events by others after the mark: of kinds `told` on own requests, `asked` on those to decide."""
    mark = select(NotificationMark.last_event).where(col(NotificationMark.user_id) == (caller.user_id or ""))
    concerns = or_(
        and_(own_requests(caller), col(RequestEvent.kind).in_(told)),
        and_(decidable(caller, now), col(RequestEvent.kind).in_(asked)),
    )
    return (
        select(RequestEvent)
        .join(AccessRequest, col(AccessRequest.id) == col(RequestEvent.request_id))
        .where(
            concerns,
            col(RequestEvent.user_id) != (caller.user_id or ""),
            col(RequestEvent.id) > func.coalesce(mark.scalar_subquery(), 0),
        )
    )


def facts(row: AccessRequest) -> Request:
    """What the policy needs to know of a request."""
    terms = Terms(row.times, row.until, row.standing)
    return Request(row.id, row.user_id, row.digest, Outcome(row.outcome), row.expires_at, terms, row.used)


def _stands(status: Status, now: datetime) -> ColumnElement[bool]:
    """`Request.status` as a condition; a test compares the two."""
    outcome, until = col(AccessRequest.outcome), col(AccessRequest.until)
    times, used = col(AccessRequest.times), col(AccessRequest.used)
    opened, approved = outcome == Outcome.OPEN.value, outcome == Outcome.APPROVED.value
    spent = and_(times.is_not(None), used >= times)
    left = or_(times.is_(None), used < times)
    over = and_(until.is_not(None), until <= now)
    conditions: dict[Status, ColumnElement[bool]] = {
        Status.PENDING: and_(opened, col(AccessRequest.expires_at) > now),
        Status.APPROVED: and_(approved, left, or_(until.is_(None), until > now)),
        Status.DENIED: outcome == Outcome.DENIED.value,
        Status.EXPIRED: or_(and_(opened, col(AccessRequest.expires_at) <= now), and_(approved, left, over)),
        Status.REVOKED: outcome == Outcome.REVOKED.value,
        Status.WITHDRAWN: outcome == Outcome.WITHDRAWN.value,
        Status.USED_UP: and_(approved, spent),
    }
    return and_(conditions[status], true())
