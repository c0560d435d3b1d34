"""What became of a caller's own requests, for a refusal that says what happened and what to do."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlmodel import Session

from gridward.api import queries_requests
from gridward.api.questions import Question
from gridward.core.privacy.approvals import Status, became
from gridward.core.privacy.decision import Answer, Decision
from gridward.server.principals import Principal


def explained(
    caller: Principal,
    db: Session,
    decision: Decision,
    question: Question | None,
    dataset_ids: Sequence[str],
    now: datetime,
) -> Decision:
    """Add to a refusal what became of the caller's last request of this question, or of another on this data.

    They read nothing of it but what they may read of their own requests anyway.
    """
    if question is None or decision.answer not in (Answer.REFUSED, Answer.SUPPRESSED):
        return decision
    same = queries_requests.requests_of_question(caller, db, question.digest)
    if same:
        return _with(decision, became(queries_requests.facts(same[-1]), now))
    for row in queries_requests.requests_on(caller, db, dataset_ids):
        if queries_requests.facts(row).status(now) is not Status.APPROVED:
            continue
        if row.standing_digest == question.standing:
            return _with(decision, f"request {row.id} was approved for another version of the data; ask anew")
        return _with(
            decision,
            f"request {row.id}, which was approved, is for another question: "
            f"node.requests['{row.id}'].get() gives its answer, and this one has to be asked",
        )
    return decision


def _with(decision: Decision, history: str) -> Decision:
    return replace(decision, detail=f"{decision.detail}; {history}")
