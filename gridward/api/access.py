"""Rules of datasets and models in rows: how they are written, shown, ended and used up. Nothing commits."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, delete, or_, select, update

from gridward.api import queries_access
from gridward.api.tables.rules import AccessRule
from gridward.core.errors import ConflictError, InvalidInputError, ObjectNotFoundError
from gridward.core.schemas.access import (
    DATASET_CONDITIONS,
    GROUP_ENTRY,
    MODEL_CONDITIONS,
    ROLE_ENTRY,
    Access,
    Entry,
    ModelAccess,
    Rule,
    RuleIn,
    RuleOut,
    require_fitting,
    rules_of,
)
from gridward.server.db import lock
from gridward.server.ids import new_id
from gridward.server.principals import CAPABILITIES, Principal
from gridward.server.roles import LOCK as ROLES_LOCK

Said: TypeAlias = tuple[str, str, datetime | None, int | None, str | None, int, int]
GROUPS_LOCK: Final = "groups"
_MOST: Final = 1000


@dataclass(frozen=True, slots=True)
class Ruled:
    """What rules are about: one dataset or one model."""

    dataset_id: str | None = None
    model_id: str | None = None

    @property
    def condition(self) -> ColumnElement[bool]:
        """Say which rules are about it."""
        if self.dataset_id is not None:
            return col(AccessRule.dataset_id) == self.dataset_id
        return col(AccessRule.model_id) == self.model_id

    @property
    def conditions(self) -> Mapping[str, frozenset[str]]:
        """Verbs that its rules may have, and under which conditions."""
        return DATASET_CONDITIONS if self.dataset_id is not None else MODEL_CONDITIONS

    def lock(self, db: Session) -> None:
        """Let nobody else write or count its rules until the transaction ends."""
        lock(db, f"rules of {self.dataset_id or self.model_id}")

    def row(self, caller: Principal, now: datetime, verb: str, rule: Rule) -> AccessRule:
        """Write a rule about it as a row."""
        entry = rule.who
        group = entry.removeprefix(GROUP_ENTRY) if entry.startswith(GROUP_ENTRY) else None
        role = entry.removeprefix(ROLE_ENTRY) if entry.startswith(ROLE_ENTRY) else None
        return AccessRule(
            id=new_id("rul"),
            dataset_id=self.dataset_id,
            model_id=self.model_id,
            verb=verb,
            entry=entry,
            until=rule.until,
            times=rule.times,
            plan=rule.plan,
            min_rows=rule.min_rows or 0,
            min_entities=rule.min_entities or 0,
            group_name=group,
            custom_role=None if role in CAPABILITIES else role,
            made_by=caller.name,
            made_at=now,
        )


def rows_of(db: Session, ruled: Ruled) -> Sequence[AccessRule]:
    """Return all rules about something, for those who manage it."""
    wanted = select(AccessRule).where(ruled.condition)
    return db.exec(wanted.order_by(col(AccessRule.verb), col(AccessRule.entry), col(AccessRule.id))).all()


def write(db: Session, caller: Principal, now: datetime, ruled: Ruled, access: Access | ModelAccess) -> None:
    """Have exactly these rules. One that is there already stays, and with it the count of its uses.

    Raises ``InvalidInputError`` where one names a group or role that is not there.
    """
    ruled.lock(db)
    wanted = {_said(verb, rule): (verb, rule) for verb, rule in rules_of(access)}
    require_known(db, [rule.who for _, rule in wanted.values()])
    standing: dict[Said, AccessRule] = {}
    for row in rows_of(db, ruled):
        if _said_by(row) in wanted and standing.setdefault(_said_by(row), row) is row:
            continue
        db.delete(row)
    db.add_all(ruled.row(caller, now, *wanted[said]) for said in wanted if said not in standing)
    db.flush()


def add(db: Session, caller: Principal, now: datetime, ruled: Ruled, body: RuleIn) -> AccessRule:
    """Add one rule; a second one that says the same is refused, since it would count apart."""
    try:
        require_fitting(body.verb, body, ruled.conditions)
    except ValueError as why:
        raise InvalidInputError(str(why)) from why
    ruled.lock(db)
    require_known(db, [body.who])
    row = ruled.row(caller, now, body.verb, body)
    standing = rows_of(db, ruled)
    if _said_by(row) in map(_said_by, standing):
        raise ConflictError("there is such a rule; end it first to begin its count anew")
    if sum(one.verb == body.verb for one in standing) >= _MOST:
        raise ConflictError(f"there are {_MOST} rules for {body.verb} already; name a group instead")
    db.add(row)
    db.flush()
    return row


def end(db: Session, ruled: Ruled, rule_id: str) -> AccessRule:
    """End one rule at once, whatever is left of it."""
    ruled.lock(db)
    row = db.get(AccessRule, rule_id)
    if row is None or row not in rows_of(db, ruled):
        raise ObjectNotFoundError(f"there is no rule '{rule_id}' here")
    db.delete(row)
    return row


def require_known(db: Session, entries: Iterable[Entry]) -> None:
    """Raise ``InvalidInputError`` naming a group or role that is not there; both stay until the commit."""
    named = list(entries)
    groups = [one.removeprefix(GROUP_ENTRY) for one in named if one.startswith(GROUP_ENTRY)]
    roles = {one.removeprefix(ROLE_ENTRY) for one in named if one.startswith(ROLE_ENTRY)} - set(CAPABILITIES)
    if groups:
        lock(db, GROUPS_LOCK)
        if unknown := queries_access.unknown_groups(db, groups):
            raise InvalidInputError(f"access: there is no group '{unknown[0]}' on this node; make it first")
    if roles:
        lock(db, ROLES_LOCK)
        if unknown := sorted(roles - queries_access.custom_roles(db)):
            raise InvalidInputError(f"access: there is no role '{unknown[0]}' on this node; make it first")


def lists(rows: Iterable[AccessRule]) -> dict[str, list[Entry | Rule]]:
    """Write rules as lists for each verb: plain names first, then rules with conditions."""
    found: dict[str, list[Entry | Rule]] = {}
    for row in sorted(rows, key=lambda row: (_said_by(row)[2:] != _PLAIN, row.entry, row.id)):
        plain = _said_by(row)[2:] == _PLAIN
        found.setdefault(row.verb, []).append(row.entry if plain else Rule(**_conditions(row)))
    return found


def shown(row: AccessRule) -> RuleOut:
    """Write a rule as it stands."""
    return RuleOut(
        **_conditions(row), id=row.id, verb=row.verb, used=row.used, made_by=row.made_by, made_at=row.made_at
    )


def told(row: AccessRule) -> str:
    """Write a rule as one line that people read: whom it names, and its conditions."""
    conditions = (
        row.until and f"until {row.until:%Y-%m-%d %H:%M} UTC",
        row.times and f"{row.used} of {row.times} uses taken",
        row.plan and f"only {row.plan}",
        row.min_rows and f"over {row.min_rows} rows or more",
        row.min_entities and f"over {row.min_entities} entities or more",
    )
    said = ", ".join(one for one in conditions if one)
    return f"{row.entry} ({said})" if said else row.entry


def use_up(db: Session, rule_id: str, now: datetime) -> int | None:
    """Count one use of a rule and give its number; None where none is left by now.

    One statement looks and counts: of several at once, no more get through than the rule has uses.
    """
    lasts = or_(col(AccessRule.until).is_(None), col(AccessRule.until) > now)
    left = col(AccessRule.id) == rule_id, col(AccessRule.used) < col(AccessRule.times), lasts
    more = {"used": col(AccessRule.used) + 1, "taken": col(AccessRule.taken) + 1}
    counted = update(AccessRule).where(*left).values(**more)
    taken = counted.returning(col(AccessRule.taken)).execution_options(synchronize_session=False)
    return db.exec(taken).scalar_one_or_none()


def give_back(db: Session, rule_id: str) -> None:
    """Count one use less of a rule, of which no answer came; its number is not taken again."""
    one_less = update(AccessRule).where(col(AccessRule.id) == rule_id, col(AccessRule.used) > 0)
    values = one_less.values(used=col(AccessRule.used) - 1)
    db.exec(values.execution_options(synchronize_session=False))


def end_counted(db: Session) -> None:
    """End every counted rule after a restore: its uses since the back-up are not known."""
    db.exec(delete(AccessRule).where(col(AccessRule.times).is_not(None)))


_PLAIN: Final = (None, None, None, 0, 0)


def _said(verb: str, rule: Rule) -> Said:
    rows, entities = rule.min_rows or 0, rule.min_entities or 0
    return verb, rule.who, rule.until, rule.times, rule.plan, rows, entities


def _said_by(row: AccessRule) -> Said:
    return row.verb, row.entry, row.until, row.times, row.plan, row.min_rows, row.min_entities


def _conditions(row: AccessRule) -> dict[str, Any]:
    return {
        "who": row.entry,
        "until": row.until,
        "times": row.times,
        "plan": row.plan,
        "min_rows": row.min_rows or None,
        "min_entities": row.min_entities or None,
    }
