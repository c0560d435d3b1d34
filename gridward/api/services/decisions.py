"""Decisions on requests: approve, deny, revoke, and the preview for those who may read the data anyway."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from sqlmodel import Session, col, delete, update

from gridward.api import access, computing, queries, queries_requests, rule_uses, storage
from gridward.api.computing import Found
from gridward.api.node import Node
from gridward.api.request_events import note
from gridward.api.request_views import asker_grants, detail, stored_question, verdicts
from gridward.api.services import releases
from gridward.api.tables.accounts import AuditEntry, CustomRole, User
from gridward.api.tables.datasets import Dataset
from gridward.api.tables.requests import AccessRequest, RequestSource, RequestVote, StandingRule
from gridward.core import tensors
from gridward.core.errors import (
    AuthorizationError,
    ConflictError,
    InvalidInputError,
    ObjectNotFoundError,
)
from gridward.core.privacy.approvals import Need, Outcome, Status, Terms, Vote, agree
from gridward.core.privacy.decision import RAW, Answer, Decision, Reason
from gridward.core.privacy.policy import decide
from gridward.core.privacy.verdicts import after_run, before_run
from gridward.core.schemas.requests import ApproveIn, EventKind, PreviewOut, ReleaseKind, RequestDetail
from gridward.server import audit, roles
from gridward.server.db import lock
from gridward.server.principals import Capability, Principal

_LONGEST: Final = timedelta(days=3653)


class Act(StrEnum):
    """What people do to a request."""

    COMMENT = "comment"
    PREVIEW = "preview"
    APPROVE = "approve"
    DENY = "deny"
    REVOKE = "revoke"
    WITHDRAW = "withdraw"


def approve(node: Node, caller: Principal, request_id: str, body: ApproveIn) -> RequestDetail:
    """Say yes to exactly what `digest` names; it counts once everybody who has to agree did.

    Each dataset needs the yes of somebody on its `approve` list (or its publisher, or the node's owner), and
    as many people as it has reviewers. The terms are what all of them allow.

    Raises:
        AuthorizationError: one's own request, or a yes that would open nothing.
        ConflictError: not pending, another digest, data that changed since, or a second yes of one person.
    """
    now = node.clock()
    terms = _terms(body, now)
    with node.database.write() as db:
        row = _decidable(caller, db, request_id, now)
        _require_status(row, now, Status.PENDING)
        if body.digest != row.digest:
            raise ConflictError(f"request {row.id} is not what you read; read it again")
        sources = queries_requests.sources(db, [row.id])
        stored_question(row, sources)
        if terms.standing and row.kind == ReleaseKind.PARAMETERS:
            raise InvalidInputError("these parameters stay the same: say how often, or until when")
        datasets = _current(db, sources, row.kind)
        _require_useful(caller, db, datasets, now)
        if db.get(RequestVote, (row.id, caller.user_id)) is not None:
            raise ConflictError(f"you agreed to {row.id} already; another person has to")
        db.add(
            RequestVote(
                request_id=row.id,
                user_id=caller.user_id or "",
                times=terms.times,
                until=terms.until,
                standing=terms.standing,
                at=now,
            )
        )
        db.flush()
        agreed = agree(_votes(db, row.id, datasets, now), [Need(one.id, one.reviewers) for one in datasets])
        if agreed is not None:
            _open(db, caller, row, datasets, agreed, now, body.note)
        kind = EventKind.AGREED if agreed is None else EventKind.APPROVED
        _record(node, db, caller, row, kind, body.note or _words(agreed or terms), now)
        return detail(db, caller, row, now)


def deny(node: Node, caller: Principal, request_id: str, reason: str) -> RequestDetail:
    """Say no, with a reason that the asker reads."""
    now = node.clock()
    with node.database.write() as db:
        row = _decidable(caller, db, request_id, now)
        _require_status(row, now, Status.PENDING)
        _decide(db, caller, row, Outcome.DENIED, now, reason)
        _record(node, db, caller, row, EventKind.DENIED, reason, now)
        return detail(db, caller, row, now)


def revoke(node: Node, caller: Principal, request_id: str, reason: str) -> RequestDetail:
    """Take an approval back, its standing rules and kept answers with it; what left has left."""
    now = node.clock()
    with node.database.write() as db:
        row = _decidable(caller, db, request_id, now)
        if row.outcome != Outcome.APPROVED.value:
            raise ConflictError(f"request {row.id} was not approved")
        db.exec(delete(StandingRule).where(col(StandingRule.request_id) == row.id))
        _decide(db, caller, row, Outcome.REVOKED, now, reason)
        _record(node, db, caller, row, EventKind.REVOKED, reason, now)
        return detail(db, caller, row, now)


def end_approvals(db: Session) -> None:
    """Take approvals and counted rules back after a restore: uses since the back-up are not known."""
    db.exec(delete(StandingRule))
    access.end_counted(db)
    db.exec(
        update(AccessRequest)
        .where(col(AccessRequest.outcome) == Outcome.APPROVED.value)
        .values(outcome=Outcome.REVOKED.value, note="the node was restored from a back-up; ask again")
    )


def preview(node: Node, caller: Principal, request_id: str) -> PreviewOut:
    """Compute what the asker would get, for a caller who may read all of the data by themselves.

    Raises ``GetNotPermittedError`` to others, and what a computation raises. Every preview is written down.
    """
    with node.database.read() as db:
        row = _decidable(caller, db, request_id, node.clock())
        if row.kind == ReleaseKind.PARAMETERS:
            raise ConflictError(f"request {row.id} is for parameters, which are not computed: see its checks")
        sources = queries_requests.sources(db, [row.id])
        question = stored_question(row, sources)
        asker = asker_grants(db, row, sources, node.clock())
    found = computing.find(node, caller, question)
    if found.question is None or found.question.digest != row.digest:
        raise ConflictError(f"the data of {row.id} changed since it was asked")
    job = computing.load(node, found, question, release=True)
    ruled = decide(job.analysis.findings, found.grants, [], finite=True)
    if ruled.reason is not Reason.RAW_ACCESS:
        ruled = Decision(Answer.REFUSED, Reason.NO_ACCESS, "a preview is for those who may read all the data")
    if ruled.answer is not Answer.VALUE:
        _settle_preview(node, caller, ruled, row.id, found, None)
    outputs, counted, evidence = computing.compute(node, job)
    _settle_preview(node, caller, ruled, row.id, found, outputs)
    checks = (
        *before_run(job.analysis.findings, asker),
        *after_run(asker, counted, evidence, finite=computing.finite(outputs)),
    )
    return PreviewOut(
        values=[tensors.encode(output.name, outputs[output.name]) for output in found.plan.outputs],
        verdicts=verdicts(checks),
    )


def _settle_preview(
    node: Node,
    caller: Principal,
    ruled: Decision,
    request_id: str,
    found: Found,
    outputs: releases.Outputs | None,
) -> None:
    releases.settle(
        node,
        caller,
        ruled,
        action="preview",
        subjects=found.subjects,
        plan_digest=found.digest,
        values=outputs,
        request_id=request_id,
    )


def forget_answers(node: Node) -> None:
    """Drop kept answers of counted approvals and rules that nobody came back for."""
    before = node.clock() - timedelta(seconds=node.settings.request_answer_s)
    unused: list[str] = []
    with node.database.write() as db:
        for use in queries_requests.uses_with_answers(db, before):
            unused += storage.drop(db, releases.used_by(use))
            use.blob = None
            db.add(use)
        unused += rule_uses.forget(db, before)
    storage.collect(node, unused)


def acts(caller: Principal, db: Session, request: RequestDetail, now: datetime) -> frozenset[Act]:
    """Say what the caller may do to a request that they read; each act is checked again when it is done."""
    if request.asked_by == caller.name and request.status == Status.PENDING.value:
        return frozenset({Act.COMMENT, Act.WITHDRAW})
    if request.asked_by == caller.name or not caller.may(Capability.DECIDE_REQUESTS):
        return frozenset({Act.COMMENT})
    found = {Act.COMMENT}
    datasets = [one for one in (db.get(Dataset, of.dataset_id) for of in request.sources) if one is not None]
    versions = {of.dataset_id: of.version for of in request.sources}
    exports = request.kind is ReleaseKind.PARAMETERS
    found_versions = {one.id: one.version for one in datasets}
    current = found_versions.keys() == versions.keys() if exports else found_versions == versions
    if request.status == Status.PENDING.value:
        found.add(Act.DENY)
        if current and caller.name not in request.agreed and not _closed(caller, db, datasets, now):
            found.add(Act.APPROVE)
    if request.status in (Status.APPROVED.value, Status.USED_UP.value):
        found.add(Act.REVOKE)
    reads = all(RAW in queries.dataset_rights(caller, db, one, now).verbs for one in datasets)
    if current and reads and not exports:
        found.add(Act.PREVIEW)
    return frozenset(found)


def _decidable(caller: Principal, db: Session, request_id: str, now: datetime) -> AccessRequest:
    """Return a request that the caller may decide on, for this transaction alone."""
    row = queries_requests.visible_request(caller, db, request_id, now)
    if row is None:
        raise ObjectNotFoundError(f"no request '{request_id}' for you on this node")
    if row.user_id == caller.user_id:
        raise AuthorizationError("nobody decides on a request of their own")
    caller.require(Capability.DECIDE_REQUESTS)
    lock(db, f"request {request_id}")
    db.refresh(row)
    return row


def _require_status(row: AccessRequest, now: datetime, wanted: Status) -> None:
    status = queries_requests.facts(row).status(now)
    if status is not wanted:
        raise ConflictError(f"request {row.id} is {status.value}, not {wanted.value}")


def _current(db: Session, sources: Sequence[RequestSource], kind: str) -> list[Dataset]:
    """The datasets behind a request; of parameters, which are pinned themselves, whatever version is next."""
    found = []
    for source in sources:
        dataset = db.get(Dataset, source.dataset_id)
        changed = dataset is not None and dataset.version != source.version
        if dataset is None or (changed and kind != ReleaseKind.PARAMETERS):
            raise ConflictError(f"'{source.name}' is not what it was when this was asked; ask anew")
        found.append(dataset)
    return found


def _require_useful(caller: Principal, db: Session, datasets: Sequence[Dataset], now: datetime) -> None:
    """A yes opens data, or is a second reviewer's; who can do neither for one of them has no say."""
    closed = _closed(caller, db, datasets, now)
    if closed:
        raise AuthorizationError(
            f"you may not open {', '.join(closed)}; its owner may put you on the approve list"
        )


def _closed(caller: Principal, db: Session, datasets: Sequence[Dataset], now: datetime) -> list[str]:
    opens = _opens(caller, db, datasets, now)
    alone = caller.limited_to is not None  # the account behind a token may open more than the token
    return sorted(f"'{one.name}'" for one in datasets if one.id not in opens and (alone or one.reviewers < 2))


def _opens(caller: Principal, db: Session, datasets: Sequence[Dataset], now: datetime) -> frozenset[str]:
    if not caller.may(Capability.DECIDE_REQUESTS):
        return frozenset()
    verb = queries_requests.APPROVE
    return frozenset(one.id for one in datasets if verb in queries.dataset_verbs(caller, db, one, now))


def _votes(db: Session, request_id: str, datasets: Sequence[Dataset], now: datetime) -> list[Vote]:
    """Every yes with what its voter may do now; one whose account was disabled or demoted does not count."""
    found = []
    for vote in queries_requests.votes(db, request_id):
        user = db.get_one(User, vote.user_id)
        voter = roles.principal(db, CustomRole, user)
        if user.disabled or not voter.may(Capability.DECIDE_REQUESTS):
            continue
        terms = Terms(vote.times, vote.until, vote.standing)
        found.append(Vote(user.id, _opens(voter, db, datasets, now), terms))
    return found


def _open(
    db: Session,
    caller: Principal,
    row: AccessRequest,
    datasets: Sequence[Dataset],
    terms: Terms,
    now: datetime,
    said: str,
) -> None:
    row.times, row.until, row.standing = terms.times, terms.until, terms.standing
    _decide(db, caller, row, Outcome.APPROVED, now, said)
    if not terms.standing:
        return
    for dataset in datasets:
        db.merge(
            StandingRule(
                dataset_id=dataset.id,
                user_id=row.user_id,
                question=row.standing_digest,
                request_id=row.id,
                username=row.asked_by,
                made_by=caller.name,
                made_at=now,
            )
        )


def _decide(
    db: Session, caller: Principal, row: AccessRequest, outcome: Outcome, now: datetime, said: str
) -> None:
    row.outcome, row.decided_by, row.decided_at, row.note = outcome.value, caller.name, now, said
    db.add(row)
    db.flush()


def _record(
    node: Node,
    db: Session,
    caller: Principal,
    row: AccessRequest,
    kind: EventKind,
    said: str,
    now: datetime,
) -> None:
    note(node, db, caller, row.id, kind, said, now)
    audit.record(
        db,
        AuditEntry,
        caller,
        now,
        f"request_{kind.value}",
        row.id,
        decision=kind.value,
        reason=said,
        plan_digest=row.plan_digest,
        request_id=row.id,
    )


def _terms(body: ApproveIn, now: datetime) -> Terms:
    if body.standing:
        if body.times is not None or body.until is not None:
            raise InvalidInputError("a standing rule has neither a number of times nor an end; revoke it")
        return Terms(None, None, standing=True)
    if body.until is not None and not now < body.until <= now + _LONGEST:
        raise InvalidInputError("until: that moment has passed, or is more than ten years away")
    once = body.times is None and body.until is None
    return Terms(1 if once else body.times, body.until)


def _words(terms: Terms) -> str:
    if terms.standing:
        return "as a standing rule"
    times = "any number of times" if terms.times is None else f"{terms.times} times"
    until = "" if terms.until is None else f" until {terms.until.isoformat(timespec='seconds')}"
    return times + until
