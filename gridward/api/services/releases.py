"""The one door out: whatever of private data leaves this node was decided and written down here first.

A decision, its reason and the plan's digest are one row of the audit log, committed before the answer leaves.
Where an answer rests on a person's approval or on a counted rule, the use is counted in the same transaction.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeAlias

import torch
from safetensors.torch import load_file, save_file
from sqlmodel import Session

from gridward.api import (
    queries_access,
    queries_requests,
    request_history,
    result_digests,
    rule_uses,
    storage,
)
from gridward.api.computing import Found
from gridward.api.exports import Export
from gridward.api.node import Node
from gridward.api.provenance import grants
from gridward.api.questions import Question
from gridward.api.request_events import note
from gridward.api.tables.accounts import AuditEntry
from gridward.api.tables.requests import AccessRequest, Released, RequestUse
from gridward.core.errors import (
    ConflictError,
    GetNotPermittedError,
    GridError,
    RequestPendingError,
    ResultSuppressedError,
)
from gridward.core.plans import codec
from gridward.core.privacy.approvals import Outcome, Request, Status
from gridward.core.privacy.decision import Answer, Asked, Decision, Grant, Reason
from gridward.core.schemas.requests import EventKind
from gridward.server.audit import record
from gridward.server.blobs import Seal
from gridward.server.db import lock
from gridward.server.principals import Principal

Outputs: TypeAlias = Mapping[str, torch.Tensor]
Judge: TypeAlias = Callable[[Sequence[Grant], Asked | None], Decision]
PENDING_RETRY_S: Final = 2.0
_SPENT: Final = Decision(Answer.REFUSED, Reason.NO_ACCESS, "the rule that gave it was used up, or ended")


@dataclass(frozen=True, slots=True)
class Wish:
    """Who wants which answer. ``question`` is None where people's decisions do not count."""

    node: Node
    caller: Principal
    action: str
    found: Found
    question: Question | None
    attempt: str | None

    @property
    def dataset_ids(self) -> list[str]:
        """Ids of the datasets behind it."""
        return [item.dataset_id for item in self.found.behind]

    def asked(self, db: Session) -> Asked | None:
        """Look up what people decided on this question."""
        if self.question is None or not queries_requests.asks_at_all(self.caller, db):
            return None
        return _asked(self.node, self.caller, db, self.question)

    def explained(self, db: Session, decision: Decision) -> Decision:
        """Add to a refusal what became of the caller's requests."""
        now = self.node.clock()
        return request_history.explained(self.caller, db, decision, self.question, self.dataset_ids, now)


def _asked(node: Node, caller: Principal, db: Session, question: Question) -> Asked:
    rows = queries_requests.requests_of_question(caller, db, question.digest)
    requests = tuple(queries_requests.facts(row) for row in rows)
    return Asked(caller.user_id or "", question.digest, question.standing, node.clock(), requests)


def settle(
    node: Node,
    caller: Principal,
    decision: Decision,
    *,
    action: str,
    subjects: Sequence[str],
    plan_digest: str | None,
    refused: type[GridError] = GetNotPermittedError,
    values: Outputs | None = None,
    request_id: str | None = None,
    run_id: str | None = None,
    begin: Callable[[Session], None] | None = None,
) -> None:
    """Write the decision down; return iff the value may leave: ``values``, for their digest.

    ``begin``: what begins by it, in the same transaction; ``run_id`` names it, to give its uses back by.

    Raises:
        GetNotPermittedError: refused; or ``refused``, where another error fits the act better.
        ResultSuppressedError: too few rows are behind the value.
        RequestPendingError: somebody has to decide first.
    """
    with node.database.write() as db:
        uses = decision.uses
        if uses and not rule_uses.take(node, caller, db, uses, node.clock(), attempt=run_id):
            decision = _SPENT
        result = _digest(node, decision, values)
        entry = Entry(action, subjects, plan_digest, request_id, result)
        _write_down(node, caller, db, decision, entry)
        if begin is not None and decision.answer is Answer.VALUE:
            begin(db)
    _require_value(decision, refused)


def give(wish: Wish, judge: Judge, outputs: Outputs) -> None:
    """Decide with rights and approvals as they are now and write down what follows; return iff it may leave.

    One transaction holds the decision, its audit row, the answer and its use of a counted approval or rule:
    of several at once, no more than were allowed get a value, and whoever is cut off may repeat the same
    attempt. Raises as ``settle``.
    """
    node, caller, found = wish.node, wish.caller, wish.found
    with _kept_answer(wish, outputs) as seal, node.database.write() as db:
        if wish.question is not None:
            lock(db, f"question {caller.user_id} {wish.question.digest}")
        if rule_uses.counted(found.grants):
            rule_uses.lock_rules(db, wish.dataset_ids)
        asked = wish.asked(db)
        kept = _kept(wish, db, asked)
        if kept is None:
            decision = _judge(wish, db, judge, asked, seal)
            _write_down(node, caller, db, decision, _entry(wish, wish.action, decision, outputs))
            decision = wish.explained(db, decision)
            if decision.answer is Answer.VALUE:
                _remember(wish, db)
            if decision.reason is Reason.APPROVED:
                _take(wish, db, decision.request, seal)
        else:
            decision = _again(kept.request_id)
            _write_down(node, caller, db, decision, _entry(wish, _repeated(wish), decision, outputs))
    _require_value(decision, GetNotPermittedError)


def give_parameters(
    node: Node,
    caller: Principal,
    export: Export,
    judge: Callable[[Session, Asked], Decision],
    values: Outputs,
    attempt: str | None,
) -> None:
    """Decide on parameters with approvals as they are now and write it down; return iff they may leave.

    The use of a counted approval is in the same transaction. The same attempt has them again without
    counting, until the approval is revoked: these bytes for this caller, for whoever was cut off.
    Raises as ``settle``.
    """
    subjects = [f"model:{export.body.model_id}", *(item.table for item in export.behind)]
    with node.database.write() as db:
        lock(db, f"question {caller.user_id} {export.question.digest}")
        asked = _asked(node, caller, db, export.question)
        approved = [one.id for one in asked.requests if one.outcome is Outcome.APPROVED]
        had = queries_requests.use_by_attempt(db, approved, attempt) if attempt is not None else None
        decision = judge(db, asked) if had is None else _again(had.request_id)
        action = "parameters" if had is None else "parameters_again"
        result = _digest(node, decision, values)
        entry = Entry(action, subjects, codec.digest(export.plan), result_digest=result)
        _write_down(node, caller, db, decision, entry)
        if had is None and decision.reason is Reason.APPROVED:
            _count(node, caller, db, decision.request, attempt)
        ids = [item.dataset_id for item in export.behind]
        decision = request_history.explained(caller, db, decision, export.question, ids, asked.now)
    _require_value(decision, GetNotPermittedError)


def repeat(wish: Wish) -> dict[str, torch.Tensor] | None:
    """Give again what this very attempt was given by a counted approval or rule; None if nothing was.

    Raises ``ConflictError`` for an attempt that had the answer to another question.
    """
    with wish.node.database.read() as db:
        kept = _kept(wish, db, wish.asked(db))
        if kept is None:
            _require_unused(wish, db)
    if kept is None or kept.blob is None:
        return None
    try:
        values: dict[str, torch.Tensor] = load_file(wish.node.blobs.path(kept.blob))
    except FileNotFoundError:
        return None
    settle(
        wish.node,
        wish.caller,
        _again(kept.request_id),
        action=_repeated(wish),
        subjects=wish.found.subjects,
        plan_digest=wish.found.digest,
        values=values,
    )
    return values


def _require_unused(wish: Wish, db: Session) -> None:
    """An attempt is one call for one answer: as the name of two, its use would be taken for either."""
    caller, attempt, found = wish.caller, wish.attempt, wish.found
    if attempt is None:
        return
    digest = None if wish.question is None else wish.question.digest
    if queries_access.attempt_had(caller, db, attempt, found.fingerprint) or queries_requests.attempt_had(
        caller, db, attempt, digest
    ):
        raise ConflictError(
            "this attempt had the answer to another question; name a new attempt for this one"
        )
    if rule_uses.forgotten(caller, db, attempt, found.fingerprint):
        raise ConflictError(
            "this attempt had its answer, which is kept no longer; name a new attempt, which counts anew"
        )


def _judge(wish: Wish, db: Session, judge: Judge, asked: Asked | None, seal: Seal | None) -> Decision:
    """Decide, and count the rules that it rests on: decided again once nobody else can count them."""
    node, caller, found, now = wish.node, wish.caller, wish.found, wish.node.clock()
    decision = judge(grants(caller, db, found.behind, now, found.named), asked)
    if not decision.uses:
        return decision
    rule_uses.lock_rules(db, wish.dataset_ids)
    decision = judge(grants(caller, db, found.behind, now, found.named), asked)
    attempt, question = wish.attempt, found.fingerprint
    taken = rule_uses.take(
        node, caller, db, decision.uses, now, attempt=attempt, question=question, seal=seal
    )
    return decision if taken else _SPENT


def _again(request_id: str) -> Decision:
    return Decision(Answer.VALUE, Reason.APPROVED, "this attempt was given its answer before", request_id)


def _repeated(wish: Wish) -> str:
    return f"{wish.action}_again"


@dataclass(frozen=True, slots=True)
class Kept:
    """What an attempt was given before: the request that it rests on, if any; the answer, if still there."""

    request_id: str
    blob: str | None


def _kept(wish: Wish, db: Session, asked: Asked | None) -> Kept | None:
    """Find what this attempt had by a counted approval or rule, unless that is over."""
    use = _use(wish, db, asked)
    if use is not None:
        return Kept(use.request_id, use.blob)
    blob = rule_uses.answered(wish.caller, db, wish.attempt, wish.found.fingerprint, wish.node.clock())
    return None if blob is None else Kept("", blob)


def _use(wish: Wish, db: Session, asked: Asked | None) -> RequestUse | None:
    """The use that this attempt took, unless its approval was revoked since."""
    if asked is None or wish.attempt is None:
        return None
    standing = [one.id for one in asked.requests if one.outcome is Outcome.APPROVED]
    return queries_requests.use_of_attempt(db, standing, wish.attempt)


@contextmanager
def _kept_answer(wish: Wish, outputs: Outputs) -> Iterator[Seal | None]:
    """Write the answer to disk where a counted approval or rule may be used up by it."""
    with wish.node.database.read() as db:
        asked = wish.asked(db)
    approved = asked is not None and any(_counts(one, asked) for one in asked.requests)
    if wish.attempt is None or not (approved or rule_uses.counted(wish.found.grants)):
        yield None
        return
    with wish.node.blobs.scratch() as path:
        save_file({name: value.clone().contiguous() for name, value in outputs.items()}, path)
        yield wish.node.blobs.seal(path)


def _counts(request: Request, asked: Asked) -> bool:
    return request.terms.times is not None and request.status(asked.now) is Status.APPROVED


def _take(wish: Wish, db: Session, request_id: str, seal: Seal | None) -> None:
    """Count one use of an approval, and keep the answer with it."""
    use = _count(wish.node, wish.caller, db, request_id, wish.attempt)
    if use is not None and seal is not None:
        use.blob = seal.sha256
        storage.keep(wish.node, db, seal, used_by=used_by(use), user_id=wish.caller.user_id or "")


def _count(
    node: Node, caller: Principal, db: Session, request_id: str, attempt: str | None
) -> RequestUse | None:
    """Count one use of an approval; its number is a key, so that the database too refuses a second."""
    now, row = node.clock(), db.get_one(AccessRequest, request_id)
    row.used += 1
    db.add(row)
    if row.times is None:
        return None
    use = RequestUse(request_id=request_id, number=row.used, attempt=attempt, at=now)
    db.add(use)
    note(node, db, caller, request_id, EventKind.USED, f"{row.used} of {row.times}", now)
    return use


def used_by(use: RequestUse) -> str:
    """Name a use among those who need blobs."""
    return f"{use.request_id}/{use.number}"


def _remember(wish: Wish, db: Session) -> None:
    """Note which data the answer was made of, so that overlaps with later questions are seen."""
    now = wish.node.clock()
    db.add_all(
        Released(
            user_id=wish.caller.user_id or "",
            dataset_id=item.dataset_id,
            version=item.version,
            tensors=wish.found.tensors_of(item),
            plan_digest=wish.found.digest,
            action=wish.action,
            at=now,
        )
        for item in wish.found.behind
    )


@dataclass(frozen=True, slots=True)
class Entry:
    """What the audit log says of a decision beside the decision itself."""

    action: str
    subjects: Sequence[str]
    plan_digest: str | None
    request_id: str | None = None
    result_digest: str | None = None


def _entry(wish: Wish, action: str, decision: Decision, outputs: Outputs) -> Entry:
    found = wish.found
    return Entry(action, found.subjects, found.digest, result_digest=_digest(wish.node, decision, outputs))


def _digest(node: Node, decision: Decision, values: Outputs | None) -> str | None:
    """Name what leaves; nothing where nothing does."""
    left = values is not None and decision.answer is Answer.VALUE
    return result_digests.digest(node.keys, values) if left and values is not None else None


def _write_down(node: Node, caller: Principal, db: Session, decision: Decision, entry: Entry) -> None:
    record(
        db,
        AuditEntry,
        caller,
        node.clock(),
        entry.action,
        ",".join(entry.subjects),
        decision=decision.answer.value,
        reason=decision.reason.value,
        plan_digest=entry.plan_digest,
        request_id=decision.request or entry.request_id,
        result_digest=entry.result_digest,
    )


def _require_value(decision: Decision, refused: type[GridError]) -> None:
    match decision.answer:
        case Answer.VALUE:
            return
        case Answer.SUPPRESSED:
            raise ResultSuppressedError(decision.detail)
        case Answer.PENDING:
            raise RequestPendingError(decision.detail, retry_after_s=PENDING_RETRY_S)
        case Answer.REFUSED:
            raise refused(decision.detail)
