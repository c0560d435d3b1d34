"""What would Ana get? Told to those who write a dataset's rules or open requests for it, without any effect.

The same code decides as for Ana herself, on her behalf nothing runs, and the only trace is that somebody
looked.
"""

from datetime import datetime

from sqlmodel import Session

from gridward.api import access, computing, queries, queries_access, queries_requests
from gridward.api.access import Ruled
from gridward.api.dataset_views import describe
from gridward.api.managed import visible_dataset
from gridward.api.node import Node
from gridward.api.services.releases import Wish
from gridward.api.tables.accounts import AuditEntry, CustomRole
from gridward.api.tables.datasets import Dataset
from gridward.api.tables.rules import AccessRule
from gridward.core.errors import (
    AuthorizationError,
    InvalidInputError,
    ObjectNotFoundError,
)
from gridward.core.privacy.access import applies, concerns
from gridward.core.privacy.decision import Answer, Reason
from gridward.core.privacy.policy import decide
from gridward.core.schemas.access import GROUP_ENTRY, ROLE_ENTRY, SIGNED_IN
from gridward.core.schemas.computations import QuestionIn
from gridward.core.schemas.datasets import DatasetOut
from gridward.core.schemas.previews import AccessPreview, DecisionOut, PreviewIn, VerbOut
from gridward.server import audit, roles, sessions
from gridward.server.principals import DISCOVER, Capability, Principal


def preview(node: Node, caller: Principal, dataset_id: str, body: PreviewIn) -> AccessPreview:
    """Say what somebody may do with a dataset, by which rules, and how a question of theirs would end.

    Raises:
        AuthorizationError: the caller neither manages the dataset nor answers requests for it, or may not so
            look at every dataset behind the question.
        ObjectNotFoundError: no such dataset for the caller, or nobody of this name.
        PlanRejectedError, InvalidInputError: the question.
    """
    now = node.clock()
    with node.database.write() as db:
        dataset = visible_dataset(caller, db, dataset_id, now)
        _require_may_look(caller, db, dataset, now)
        subject, locked_out = _subject(node, db, body.who)
        seen = None if locked_out else queries.visible_dataset(subject, db, dataset_id, now)
        shown = AccessPreview(
            who=body.who,
            role=subject.role or None,
            capabilities=sorted(subject.capabilities) if subject.role and not locked_out else [],
            locked_out=locked_out,
            sees=None if seen is None else _as_shown(subject, db, seen, now),
            in_gateways=not locked_out and _in_gateways(subject, db, dataset, now),
            verbs=[] if locked_out else _verbs(subject, db, dataset, now),
            decision=None,
        )
        audit.record(db, AuditEntry, caller, now, "preview_access", dataset_id, reason=body.who)
    if body.question is not None:
        _require_all_looked_at(node, caller, body.question, now)
        shown.decision = _decision(node, subject, body.question, locked_out=locked_out)
    return shown


def _require_may_look(caller: Principal, db: Session, dataset: Dataset, now: datetime) -> None:
    if queries.manages(caller, dataset):
        return
    opens = queries_requests.APPROVE in queries.dataset_rights(caller, db, dataset, now).verbs
    if not opens or not caller.may(Capability.DECIDE_REQUESTS):
        raise AuthorizationError(
            f"only those who write rules of '{dataset.name}' or answer requests for it see what others get"
        )


def _subject(node: Node, db: Session, who: str) -> tuple[Principal, bool]:
    """Return whom to look through, and whether they are locked out.

    A role or a group stands for somebody of whom nothing else is known.
    """
    access.require_known(db, [who])
    if who.startswith(ROLE_ENTRY):
        role = who.removeprefix(ROLE_ENTRY)
        return Principal(who, role, "", "", custom=roles.held_by(db, CustomRole, role)), False
    if who == SIGNED_IN or who.startswith(GROUP_ENTRY):
        return Principal(who, "", "", "", custom=frozenset(Capability) - {Capability.SEE_ALL_DATA}), False
    user = sessions.user_named(db, node.accounts, who)
    if user is not None:
        locked_out = user.disabled or sessions.lacks_second_factor(db, node.accounts, user, vouched=False)
        return roles.principal(db, CustomRole, user), locked_out
    if "@" in who:
        return Principal(who, "", None, ""), False
    raise ObjectNotFoundError(f"no account '{who}' on this node")


def _as_shown(subject: Principal, db: Session, dataset: Dataset, now: datetime) -> DatasetOut:
    """What the node shows them, but for rules: who may look at this need not manage the dataset."""
    shown = describe(subject, db, dataset, now)
    return shown.model_copy(update={"access": None, "standing_rules": None})


def _in_gateways(subject: Principal, db: Session, dataset: Dataset, now: datetime) -> bool:
    rows = access.rows_of(db, Ruled(dataset_id=dataset.id))
    found = queries_access.entries(subject, db)
    names = {name for name in found if name == SIGNED_IN or not name.startswith(ROLE_ENTRY)}
    searches = "@" in subject.name or subject.name.startswith(GROUP_ENTRY)
    return searches and any(
        row.verb == DISCOVER and concerns(queries_access.rule_of(row), names, now) for row in rows
    )


def _verbs(subject: Principal, db: Session, dataset: Dataset, now: datetime) -> list[VerbOut]:
    """Verbs with the rules that give them; a rule for one question gives its verb for that one."""
    rows = access.rows_of(db, Ruled(dataset_id=dataset.id))
    found = queries_access.entries(subject, db)
    held = queries.dataset_rights(subject, db, dataset, now).all_verbs
    given: dict[str, list[AccessRule]] = {}
    for row in rows:
        rule = queries_access.rule_of(row)
        named = () if rule.plan is None else (rule.plan,)
        if applies(rule, found, now, named) and (subject.admitted or row.verb == DISCOVER):
            given.setdefault(row.verb, []).append(row)
    return [
        VerbOut(verb=verb, rules=[access.shown(row) for row in given.get(verb, [])])
        for verb in queries.VERBS
        if verb in held or verb in given
    ]


def _decision(node: Node, subject: Principal, question: QuestionIn, *, locked_out: bool) -> DecisionOut:
    if locked_out:
        return _refused(f"'{subject.name}' is locked out")
    if not subject.may(Capability.COMPUTE):
        return _refused(f"'{subject.name}' may not compute on this node")
    try:
        found = computing.find(node, subject, question)
    except (ObjectNotFoundError, AuthorizationError) as why:
        return _refused(why.detail)
    job = computing.load(node, found, question, release=True)
    with node.database.read() as db:
        asked = Wish(node, subject, "preview_access", found, found.question, None).asked(db)
    ruled = decide(
        job.analysis.findings,
        found.grants,
        [],
        finite=True,
        asked=asked,
        evidence=computing.evidence(job),
    )
    return DecisionOut(
        answer=ruled.answer.value,
        reason=ruled.reason.value,
        detail=ruled.detail,
        rules=list(ruled.uses),
        data_decides=ruled.reason is Reason.AGGREGATE,
        question=found.question and found.question.digest,
        standing=found.question and found.question.standing,
    )


def _require_all_looked_at(node: Node, caller: Principal, question: QuestionIn, now: datetime) -> None:
    if any(source.dataset_id is None for source in question.sources):
        raise InvalidInputError("question: ask with datasets; kept results are seen by their owner only")
    with node.database.read() as db:
        for dataset_id in sorted({source.dataset_id or "" for source in question.sources}):
            _require_may_look(caller, db, visible_dataset(caller, db, dataset_id, now), now)


def _refused(detail: str) -> DecisionOut:
    return DecisionOut(
        answer=Answer.REFUSED.value,
        reason=Reason.NO_ACCESS.value,
        detail=detail,
        rules=[],
        data_decides=False,
        question=None,
        standing=None,
    )
