"""What people decide on one question: terms, votes, and where a request stands. Pure; the time is given.

A question is named by a digest over plan, sources with their versions, and public values. An approval opens
that question for its asker, and nothing else.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Outcome(StrEnum):
    """What was decided last. It is stored; ``Status`` follows from it and the time."""

    OPEN = "open"
    APPROVED = "approved"
    DENIED = "denied"
    REVOKED = "revoked"
    WITHDRAWN = "withdrawn"


class Status(StrEnum):
    """Where a request stands now."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    REVOKED = "revoked"
    WITHDRAWN = "withdrawn"
    USED_UP = "used_up"


@dataclass(frozen=True, slots=True)
class Terms:
    """How far an approval goes: so many times and until a moment (None: no bound), or as a standing rule.

    A standing rule belongs to the rules of the datasets and outlives their versions; it has no bounds.
    """

    times: int | None = 1
    until: datetime | None = None
    standing: bool = False

    def meet(self, other: "Terms") -> "Terms":
        """What both allow."""
        return Terms(
            _least(self.times, other.times),
            _earliest(self.until, other.until),
            self.standing and other.standing,
        )


@dataclass(frozen=True, slots=True)
class Request:
    """One question of one asker, and what was decided on it."""

    id: str
    asker: str
    question: str
    outcome: Outcome
    expires_at: datetime
    terms: Terms
    used: int = 0

    def status(self, now: datetime) -> Status:
        """Say where it stands."""
        match self.outcome:
            case Outcome.DENIED:
                return Status.DENIED
            case Outcome.REVOKED:
                return Status.REVOKED
            case Outcome.WITHDRAWN:
                return Status.WITHDRAWN
            case Outcome.OPEN:
                return Status.PENDING if now < self.expires_at else Status.EXPIRED
            case Outcome.APPROVED:
                return self._approved(now)

    def _approved(self, now: datetime) -> Status:
        if self.terms.times is not None and self.used >= self.terms.times:
            return Status.USED_UP
        if self.terms.until is not None and now >= self.terms.until:
            return Status.EXPIRED
        return Status.APPROVED


def became(request: Request, now: datetime) -> str:
    """Say to its asker what became of a request that gives nothing now, and what to do."""
    said = f"your request {request.id} of this question"
    match request.status(now):
        case Status.PENDING:
            return f"{said} waits for a decision"
        case Status.APPROVED:
            return f"{said} was approved"
        case Status.USED_UP:
            often = (
                "once, and that answer was given"
                if request.terms.times == 1
                else (f"{request.terms.times} times, and all of these answers were given")
            )
            return f"{said} was approved {often}; ask anew for another"
        case Status.EXPIRED:
            over = (
                "was approved for a time that is over"
                if request.outcome is Outcome.APPROVED
                else ("was not decided in its time")
            )
            return f"{said} {over}; ask anew"
        case Status.DENIED | Status.REVOKED | Status.WITHDRAWN as ended:
            return f"{said} was {ended.value}; node.requests['{request.id}'] says why"


@dataclass(frozen=True, slots=True)
class Vote:
    """One person's yes: who, which datasets they may open, and how far they would go."""

    voter: str
    opens: frozenset[str]
    terms: Terms


@dataclass(frozen=True, slots=True)
class Need:
    """What one dataset behind a question asks for: somebody who may open it, among so many people."""

    dataset: str
    reviewers: int


def agree(votes: Sequence[Vote], needs: Iterable[Need]) -> Terms | None:
    """Give the terms that all voters allow once there are enough of them; None until then.

    Each dataset needs one voter who may open it, and as many distinct voters as it has reviewers. Two votes
    of one person are one. No dataset, no votes, or a dataset without reviewers: never.
    """
    wanted = list(needs)
    people = {vote.voter for vote in votes}
    enough = wanted and all(
        0 < need.reviewers <= len(people) and any(need.dataset in vote.opens for vote in votes)
        for need in wanted
    )
    if not enough or not votes:
        return None
    terms = votes[0].terms
    for vote in votes[1:]:
        terms = terms.meet(vote.terms)
    return terms


def _least(one: int | None, other: int | None) -> int | None:
    bounds = [bound for bound in (one, other) if bound is not None]
    return min(bounds) if bounds else None


def _earliest(one: datetime | None, other: datetime | None) -> datetime | None:
    bounds = [bound for bound in (one, other) if bound is not None]
    return min(bounds) if bounds else None
