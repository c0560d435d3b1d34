"""SELECTs of the Five-Safes report, over everything that the node holds; for those who may read its log."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, func, select

from gridward.api.tables.accounts import AuditEntry, User
from gridward.api.tables.requests import AccessRequest, StandingRule
from gridward.api.tables.rules import AccessRule
from gridward.core.privacy.decision import Answer


@dataclass(frozen=True, slots=True)
class Period:
    """From when (None: the beginning) to when, without that moment; entries up to one number."""

    since: datetime | None
    until: datetime
    last_entry: int

    def entries(self) -> list[ColumnElement[bool]]:
        """Conditions on rows of the log."""
        within = [col(AuditEntry.id) <= self.last_entry, col(AuditEntry.at) < self.until]
        return within if self.since is None else [*within, col(AuditEntry.at) >= self.since]

    def requests(self) -> list[ColumnElement[bool]]:
        """Conditions on requests."""
        within = [col(AccessRequest.created_at) < self.until]
        return within if self.since is None else [*within, col(AccessRequest.created_at) >= self.since]


def accounts(db: Session) -> Sequence[User]:
    """All accounts, by name."""
    return db.exec(select(User).order_by(col(User.username))).all()


def sign_ins(db: Session, period: Period) -> dict[tuple[str, bool], int]:
    """Number of sign-ins by account, taken and refused; a refusal names who was tried."""
    who = func.coalesce(func.nullif(col(AuditEntry.actor), ""), col(AuditEntry.subject))
    refused = col(AuditEntry.decision) == "refused"
    wanted = select(who, refused, func.count()).where(col(AuditEntry.action) == "sign_in", *period.entries())
    return {(str(name), bool(no)): times for name, no, times in db.exec(wanted.group_by(who, refused))}


def decisions(db: Session, period: Period) -> Sequence[tuple[str, str, str, int]]:
    """How often each act was answered how and why, where a policy answered."""
    key = (col(AuditEntry.action), col(AuditEntry.decision), col(AuditEntry.reason))
    answers = col(AuditEntry.decision).in_([answer.value for answer in Answer])
    decided = col(AuditEntry.plan_digest).is_not(None)
    wanted = select(*key, func.count()).where(answers, decided, *period.entries())
    rows = db.exec(wanted.group_by(*key).order_by(*key)).all()
    return [(action, decision, reason, times) for action, decision, reason, times in rows]


def outputs(db: Session, period: Period, most: int) -> tuple[Sequence[AuditEntry], int]:
    """Rows of values that left, newest first, and how many there are."""
    left = (
        col(AuditEntry.decision) == Answer.VALUE.value,
        col(AuditEntry.result_digest).is_not(None),
        *period.entries(),
    )
    newest = select(AuditEntry).where(*left).order_by(col(AuditEntry.id).desc()).limit(most)
    return db.exec(newest).all(), db.exec(select(func.count()).select_from(AuditEntry).where(*left)).one()


def requests(db: Session, period: Period, most: int) -> tuple[Sequence[str], int]:
    """Ids of requests, newest first, and how many there are."""
    asked = period.requests()
    order = (col(AccessRequest.created_at).desc(), col(AccessRequest.id).desc())
    ids = db.exec(select(AccessRequest.id).where(*asked).order_by(*order).limit(most)).all()
    return ids, db.exec(select(func.count()).select_from(AccessRequest).where(*asked)).one()


def dataset_rules(db: Session) -> Sequence[AccessRule]:
    """Return every rule of every dataset."""
    of_datasets = select(AccessRule).where(col(AccessRule.dataset_id).is_not(None))
    return db.exec(of_datasets.order_by(col(AccessRule.entry), col(AccessRule.id))).all()


def standing_rules(db: Session) -> dict[str, int]:
    """Number of standing rules of each dataset."""
    dataset = col(StandingRule.dataset_id)
    return dict(db.exec(select(dataset, func.count()).group_by(dataset)).all())
