"""SELECTs over rules and groups; each takes the caller first, or says why it needs none."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, Executable, String, bindparam, literal, union_all
from sqlalchemy import select as columns
from sqlalchemy.orm import Mapped
from sqlmodel import Session, and_, col, func, or_, select

from gridward.api.tables.accounts import CustomRole, User
from gridward.api.tables.rules import AccessRule, Group, GroupMember, RuleUse
from gridward.core.privacy.access import DISCOVER, Rights, Rule, rights
from gridward.core.schemas.access import GROUP_ENTRY
from gridward.server.principals import Principal

_RULE: Final = (
    col(AccessRule.id),
    col(AccessRule.verb),
    col(AccessRule.entry),
    col(AccessRule.until),
    col(AccessRule.times),
    col(AccessRule.used),
    col(AccessRule.plan),
    col(AccessRule.min_rows),
    col(AccessRule.min_entities),
)
"""Columns of a `Rule`, in its order."""
_NAMES: Final = ("name_1", "name_2", "name_3")


def _telling(about: Mapped[str | None]) -> Executable:
    """Make the statement for the rules about one thing that say all of what the caller may do with it.

    Those are the rules that give something now, for what is named, and of all others that speak of the
    caller one to discover and one that is for more: they make no difference but that there are some. So
    many rules cost little, and those about others stay where they are. Groups are asked of the database as
    it is when this is run, so that leaving one counts at once.
    """
    mine = [columns(bindparam(name, type_=String)) for name in _NAMES]
    group = literal(GROUP_ENTRY, literal_execute=True) + col(GroupMember.group_name)
    joined = columns(group).where(col(GroupMember.member) == bindparam("member"))
    speaks = (
        about == bindparam("about"),
        col(AccessRule.entry).in_(union_all(*mine, joined)),
        or_(col(AccessRule.until).is_(None), col(AccessRule.until) > bindparam("now")),
    )
    gives = (
        or_(col(AccessRule.plan).is_(None), col(AccessRule.plan).in_(bindparam("named", expanding=True))),
        or_(col(AccessRule.times).is_(None), col(AccessRule.used) < col(AccessRule.times)),
    )
    spoken_of = columns(*_RULE).where(*speaks)
    kinds = (col(AccessRule.verb) == DISCOVER, col(AccessRule.verb) != DISCOVER)
    firsts = [columns(spoken_of.where(kind).limit(1).subquery()) for kind in kinds]
    return union_all(spoken_of.where(*gives), *firsts)


# Made once: to write such a statement anew takes longer than to run it.
_ABOUT_DATASET: Final = _telling(col(AccessRule.dataset_id))
_ABOUT_MODEL: Final = _telling(col(AccessRule.model_id))


def concerning(caller: Principal, now: datetime) -> ColumnElement[bool]:
    """Say which rules speak of the caller and last: by name, role or group, or as somebody signed in.

    An identity that was not admitted is spoken of by rules to discover only. Groups are asked of the
    database as it is when this is run, so that leaving one counts at once.
    """
    mine = select(GroupMember.group_name).where(col(GroupMember.member) == caller.name)
    named = col(AccessRule.entry).in_(sorted(caller.entries(DISCOVER)))
    lasts = or_(col(AccessRule.until).is_(None), col(AccessRule.until) > now)
    spoken_of = and_(or_(named, col(AccessRule.group_name).in_(mine)), lasts)
    return spoken_of if caller.admitted else and_(spoken_of, col(AccessRule.verb) == DISCOVER)


def entries(caller: Principal, db: Session) -> frozenset[str]:
    """Return the entries of rules that speak of the caller, groups included."""
    mine = select(GroupMember.group_name).where(col(GroupMember.member) == caller.name)
    return caller.entries(DISCOVER) | {f"{GROUP_ENTRY}{name}" for name in db.exec(mine)}


def rights_to_dataset(
    caller: Principal, db: Session, dataset_id: str, now: datetime, named: frozenset[str]
) -> Rights:
    """Sum up what the rules of a dataset give to the caller, for what ``named`` names."""
    return _rights(caller, db, _ABOUT_DATASET, dataset_id, now, named)


def rights_to_model(caller: Principal, db: Session, model_id: str, now: datetime) -> Rights:
    """Sum up what the rules of a model give to the caller."""
    return _rights(caller, db, _ABOUT_MODEL, model_id, now, frozenset())


def _rights(
    caller: Principal, db: Session, telling: Executable, about: str, now: datetime, named: frozenset[str]
) -> Rights:
    names = sorted(caller.entries(DISCOVER))
    spare = names[:1] * (len(_NAMES) - len(names))
    values = {
        "about": about,
        "member": caller.name,
        "now": now,
        "named": sorted(named),
        **dict(zip(_NAMES, names + spare, strict=True)),
    }
    db.flush()
    # columns, not objects: quicker, and who waited for a lock reads what others did meanwhile
    found = [Rule(*row) for row in db.connection().execute(telling, values)]
    open_to = [rule for rule in found if caller.admitted or rule.verb == DISCOVER]
    return rights(open_to, {rule.entry for rule in found}, now, named)


def rule_of(row: AccessRule) -> Rule:
    """What the policy needs to know of a rule."""
    return Rule(
        row.id,
        row.verb,
        row.entry,
        row.until,
        row.times,
        row.used,
        row.plan,
        row.min_rows,
        row.min_entities,
    )


def discover_rules(db: Session, now: datetime) -> Sequence[AccessRule]:
    """Return the rules to discover that last; for the node itself, which tells its gateways."""
    lasts = or_(col(AccessRule.until).is_(None), col(AccessRule.until) > now)
    return db.exec(select(AccessRule).where(col(AccessRule.verb) == DISCOVER, lasts)).all()


def identities_in_groups(db: Session) -> dict[str, list[str]]:
    """Return the gateway identities of each group; for the node itself, which tells its gateways."""
    found: dict[str, list[str]] = {}
    for row in db.exec(select(GroupMember).where(col(GroupMember.member).contains("@"))):
        found.setdefault(row.group_name, []).append(row.member)
    return found


def groups(db: Session) -> Sequence[Group]:
    """Return all groups; for those who manage users or publish."""
    return db.exec(select(Group).order_by(col(Group.name))).all()


def group_members(db: Session, names: Sequence[str]) -> dict[str, list[str]]:
    """Return the members of groups by name; for those who manage users."""
    found: dict[str, list[str]] = {name: [] for name in names}
    wanted = select(GroupMember).where(col(GroupMember.group_name).in_(names))
    for row in db.exec(wanted.order_by(col(GroupMember.member))):
        found[row.group_name].append(row.member)
    return found


def rules_of_group(db: Session, name: str) -> Sequence[AccessRule]:
    """Return the rules that a group carries; for the check of who may add to it."""
    return db.exec(select(AccessRule).where(col(AccessRule.group_name) == name)).all()


def rules_by_group(db: Session, names: Sequence[str]) -> dict[str, int]:
    """Return how many rules name each group; for those who manage users or publish."""
    counted = select(AccessRule.group_name, func.count()).where(col(AccessRule.group_name).in_(names))
    found = db.exec(counted.group_by(col(AccessRule.group_name)))
    return {name: number for name, number in found if name is not None}


def unknown_groups(db: Session, names: Sequence[str]) -> list[str]:
    """Say which of these groups are not there; for whoever writes a rule."""
    return sorted(set(names) - set(db.exec(select(Group.name).where(col(Group.name).in_(names))).all()))


def custom_roles(db: Session) -> frozenset[str]:
    """Return the names of roles that were made here; for whoever writes a rule."""
    return frozenset(db.exec(select(CustomRole.name)))


def unknown_accounts(db: Session, names: Sequence[str]) -> list[str]:
    """Say which of these accounts are not there; for those who manage users."""
    return sorted(set(names) - set(db.exec(select(User.username).where(col(User.username).in_(names))).all()))


def is_named(db: Session, name: str) -> bool:
    """Say whether a rule or a group names this account; for whoever makes one of this name."""
    rule = db.exec(select(AccessRule.id).where(col(AccessRule.entry) == name)).first()
    member = db.exec(select(GroupMember.member).where(col(GroupMember.member) == name)).first()
    return rule is not None or member is not None


def uses_of_attempt(caller: Principal, db: Session, attempt: str, question: str) -> Sequence[RuleUse]:
    """The caller's uses of rules by one attempt at one question."""
    wanted = select(RuleUse).where(col(RuleUse.user_id) == (caller.user_id or ""))
    return db.exec(wanted.where(col(RuleUse.attempt) == attempt, col(RuleUse.question) == question)).all()


def uses_of_run(db: Session, run_id: str) -> Sequence[RuleUse]:
    """Uses of rules that a training took; for the node itself, when the run ends.

    In the order in which rules are counted: two that wait for each other's rows would never end.
    """
    taken = select(RuleUse).where(col(RuleUse.attempt) == run_id)
    return db.exec(taken.order_by(col(RuleUse.rule_id))).all()


def attempt_had(caller: Principal, db: Session, attempt: str, question: str) -> bool:
    """Say whether an attempt of the caller had the answer to another question by a counted rule."""
    wanted = select(RuleUse.rule_id).where(col(RuleUse.user_id) == (caller.user_id or ""))
    other = col(RuleUse.question) != question
    return db.exec(wanted.where(col(RuleUse.attempt) == attempt, other)).first() is not None


def rules_that_last(caller: Principal, db: Session, ids: Sequence[str], now: datetime) -> int:
    """Number of these rules of datasets that still speak of the caller."""
    chosen = col(AccessRule.id).in_(ids)
    wanted = select(func.count()).select_from(AccessRule).where(chosen, concerning(caller, now))
    return db.exec(wanted).one()


def uses_with_answers(db: Session, before: datetime) -> Sequence[RuleUse]:
    """Uses older than `before` whose answers are still kept; for the expiry."""
    kept = select(RuleUse).where(col(RuleUse.at) < before, col(RuleUse.blob).is_not(None))
    return db.exec(kept).all()
