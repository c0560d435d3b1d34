"""What is shown of a request: to its asker, and more to those who decide."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlmodel import Session

from gridward.api import parameters, queries_requests, questions
from gridward.api.provenance import Behind, grants
from gridward.api.tables.accounts import CustomRole, User
from gridward.api.tables.datasets import Dataset
from gridward.api.tables.requests import AccessRequest, RequestSource
from gridward.core.errors import ConflictError
from gridward.core.plans import codec
from gridward.core.plans.plan import Plan
from gridward.core.privacy.analysis import Finding, Level
from gridward.core.privacy.decision import Grant
from gridward.core.privacy.verdicts import Verdict, before_export, before_run
from gridward.core.schemas.computations import QuestionIn
from gridward.core.schemas.requests import (
    EarlierOut,
    EventKind,
    EventOut,
    ExportQuestion,
    OverlapOut,
    ReleaseKind,
    RequestDetail,
    RequestOut,
    RequestSourceOut,
    VerdictOut,
)
from gridward.server import roles
from gridward.server.principals import Principal

NEWEST: Final = 20


def outline(row: AccessRequest, sources: Sequence[RequestSource], now: datetime) -> RequestOut:
    """Describe a request as lists show it."""
    return RequestOut(
        id=row.id,
        asked_by=row.asked_by,
        reason=row.reason,
        kind=ReleaseKind(row.kind),
        status=queries_requests.facts(row).status(now).value,
        digest=row.digest,
        plan_digest=row.plan_digest,
        sources=[_source(source) for source in sources if source.request_id == row.id],
        created_at=row.created_at,
        expires_at=row.expires_at,
        times=row.times,
        until=row.until,
        standing=row.standing,
        used=row.used,
        decided_by=row.decided_by,
        decided_at=row.decided_at,
        note=row.note,
    )


def detail(db: Session, caller: Principal, row: AccessRequest, now: datetime) -> RequestDetail:
    """Describe a request whole. Verdicts and overlap are for those who decide, not for the asker."""
    sources = queries_requests.sources(db, [row.id])
    question = stored_question(row, sources)
    decides = row.user_id != caller.user_id
    return RequestDetail(
        **outline(row, sources, now).model_dump(),
        plan=question.plan,
        feeds=question.sources,
        values=question.values,
        model_id=question.model_id if isinstance(question, ExportQuestion) else None,
        operations=row.operations,
        reviewers=reviewers(db, sources),
        agreed=[_voter(db, vote.user_id) for vote in queries_requests.votes(db, row.id)],
        events=[
            EventOut(at=event.at, actor=event.actor, kind=EventKind(event.kind), text=event.text)
            for event in queries_requests.events(db, row.id)
        ],
        verdicts=verdicts(_checks(row, question, asker_grants(db, row, sources, now))) if decides else None,
        overlap=_overlap(db, row, sources) if decides else None,
    )


def stored_question(row: AccessRequest, sources: Sequence[RequestSource]) -> QuestionIn:
    """Read back what was asked; raises ``ConflictError`` if it is not what its digest names."""
    exports = row.kind == ReleaseKind.PARAMETERS
    body = (ExportQuestion if exports else QuestionIn).model_validate_json(row.body)
    plan = codec.digest(plan_of(body))
    versions = {source.dataset_id: source.version for source in sources}
    found = (
        questions.exported(body, plan)
        if isinstance(body, ExportQuestion)
        else questions.name(body, plan, versions)
    )
    if found is None or found.digest != row.digest:
        raise ConflictError(f"request {row.id} is not what its digest names; nothing may be decided on it")
    return body


def plan_of(body: QuestionIn) -> Plan:
    """Return the plan of a question."""
    return codec.from_dict(body.plan.model_dump(mode="json", by_alias=True, exclude_none=True))


def asker_grants(
    db: Session, row: AccessRequest, sources: Sequence[RequestSource], now: datetime
) -> Sequence[Grant]:
    """What the asker may do now with the data that was asked about, by whatever rule."""
    user = db.get_one(User, row.user_id)
    asker = roles.principal(db, CustomRole, user)
    behind = (Behind(source.dataset_id, source.version, source.rows) for source in sources)
    named = frozenset((row.digest, row.standing_digest))
    return [grant.opened() for grant in grants(asker, db, behind, now, named)]


def reviewers(db: Session, sources: Sequence[RequestSource]) -> int:
    """How many people have to agree: the most that any of the datasets wants."""
    found = (db.get(Dataset, source.dataset_id) for source in sources)
    return max((dataset.reviewers for dataset in found if dataset is not None), default=0)


def verdicts(found: Sequence[Verdict]) -> list[VerdictOut]:
    """Write checks as they travel."""
    return [
        VerdictOut(check=one.check.value, subject=one.subject, passed=one.passed, figures=one.figures)
        for one in found
    ]


def _checks(row: AccessRequest, question: QuestionIn, granted: Sequence[Grant]) -> tuple[Verdict, ...]:
    if isinstance(question, ExportQuestion):
        return before_export(granted, parameters.count(plan_of(question)))
    return before_run(_findings(row), granted)


def _findings(row: AccessRequest) -> dict[str, Finding]:
    return {
        str(item["output"]): Finding(Level(str(item["level"])), reason=str(item["reason"]))
        for item in row.findings
    }


def _overlap(db: Session, row: AccessRequest, sources: Sequence[RequestSource]) -> OverlapOut:
    total, newest = queries_requests.had_before(
        db, row.user_id, [source.dataset_id for source in sources], NEWEST
    )
    return OverlapOut(
        total=total,
        newest=[
            EarlierOut(
                at=one.at,
                action=one.action,
                dataset_id=one.dataset_id,
                version=one.version,
                tensors=one.tensors,
                plan_digest=one.plan_digest,
                same_plan=one.plan_digest == row.plan_digest,
            )
            for one in newest
        ],
    )


def _source(source: RequestSource) -> RequestSourceOut:
    return RequestSourceOut(
        dataset_id=source.dataset_id,
        name=source.name,
        version=source.version,
        rows=source.rows,
        tensors=source.tensors,
    )


def _voter(db: Session, user_id: str) -> str:
    return db.get_one(User, user_id).username
