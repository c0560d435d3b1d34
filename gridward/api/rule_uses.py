"""Uses of counted rules: counted with the answer, which whoever lost it gets again, as with approvals."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlmodel import Session

from gridward.api import access, queries_access, storage
from gridward.api.node import Node
from gridward.api.tables.accounts import AuditEntry
from gridward.api.tables.rules import RuleUse
from gridward.core.privacy.decision import Grant
from gridward.server.audit import record
from gridward.server.blobs import Seal
from gridward.server.db import lock
from gridward.server.principals import Principal


def counted(grants: Iterable[Grant]) -> bool:
    """Say whether some rule among these would be counted."""
    return any(way.counted for grant in grants for way in grant.ways)


def lock_rules(db: Session, dataset_ids: Iterable[str]) -> None:
    """Let nobody else count rules of these datasets until the transaction ends."""
    for dataset_id in sorted(set(dataset_ids)):
        lock(db, f"rules of {dataset_id}")


def answered(caller: Principal, db: Session, attempt: str | None, question: str, now: datetime) -> str | None:
    """Name the blob with the answer that this attempt had, unless a rule that gave it is over."""
    if attempt is None:
        return None
    uses = queries_access.uses_of_attempt(caller, db, attempt, question)
    ids = [use.rule_id for use in uses]
    if not ids or queries_access.rules_that_last(caller, db, ids, now) < len(ids):
        return None
    return next((use.blob for use in uses if use.blob is not None), None)


def forgotten(caller: Principal, db: Session, attempt: str, question: str) -> bool:
    """Say whether this attempt had its answer by a counted rule, and it is kept no longer."""
    uses = queries_access.uses_of_attempt(caller, db, attempt, question)
    return bool(uses) and all(use.blob is None for use in uses)


def take(
    node: Node,
    caller: Principal,
    db: Session,
    rule_ids: Sequence[str],
    now: datetime,
    *,
    attempt: str | None = None,
    question: str = "",
    seal: Seal | None = None,
) -> bool:
    """Count one use of each rule and keep the answer with the first; False, and none, where one is used up.

    Each number is a key, so that the database too refuses a second.
    """
    if not rule_ids:
        return True
    nested = db.begin_nested()
    for rule_id in sorted(rule_ids):
        number = access.use_up(db, rule_id, now)
        if number is None:
            nested.rollback()
            return False
        user_id = caller.user_id or ""
        use = RuleUse(
            rule_id=rule_id, number=number, user_id=user_id, attempt=attempt, question=question, at=now
        )
        if seal is not None:
            use.blob = seal.sha256
            storage.keep(node, db, seal, used_by=used_by(use), user_id=user_id)
            seal = None
        db.add(use)
    nested.commit()
    return True


def give_back(db: Session, run_id: str, now: datetime) -> None:
    """Give uses back that a run took of which nobody had anything; written into the audit log."""
    for use in queries_access.uses_of_run(db, run_id):
        access.give_back(db, use.rule_id)
        db.delete(use)
        record(db, AuditEntry, None, now, "return_use", f"{run_id},{use.rule_id}")


def used_by(use: RuleUse) -> str:
    """Name a use among those who need blobs."""
    return f"{use.rule_id}/{use.number}"


def forget(db: Session, before: datetime) -> list[str]:
    """Drop kept answers that nobody came back for; returns blobs to collect."""
    unused: list[str] = []
    for use in queries_access.uses_with_answers(db, before):
        unused += storage.drop(db, used_by(use))
        use.blob = None
        db.add(use)
    return unused
