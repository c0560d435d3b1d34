"""Groups of accounts and gateway identities: made, changed and deleted by those who manage users.

Who adds somebody to a group gives them what its rules give, and so must have all of that themselves.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlmodel import Session, col, delete

from gridward.api import queries, queries_access, queries_results
from gridward.api.access import GROUPS_LOCK
from gridward.api.node import Node
from gridward.api.tables.accounts import AuditEntry
from gridward.api.tables.datasets import Dataset
from gridward.api.tables.models import Model
from gridward.api.tables.rules import AccessRule, Group, GroupMember
from gridward.core.errors import (
    AlreadyExistsError,
    AuthorizationError,
    ConflictError,
    InvalidInputError,
    ObjectNotFoundError,
)
from gridward.core.schemas.groups import GroupIn, GroupOut, GroupPatch, GroupsOut
from gridward.server import audit
from gridward.server.db import lock
from gridward.server.principals import Capability, Principal

_MOST: Final = 1000
_MOST_MEMBERS: Final = 10_000
_SHOWN: Final = frozenset({Capability.MANAGE_USERS, Capability.PUBLISH, Capability.HOST_MODELS})


def list_all(caller: Principal, db: Session) -> GroupsOut:
    """List all groups, to those who manage users or write rules; the former see who is in them."""
    if not _SHOWN & caller.capabilities:
        caller.require(Capability.MANAGE_USERS)
    return GroupsOut(items=_describe(caller, db, queries_access.groups(db)))


def get(caller: Principal, db: Session, name: str) -> GroupOut:
    """Describe one group, to those who may list them."""
    found = [one for one in list_all(caller, db).items if one.name == name]
    if not found:
        raise ObjectNotFoundError(f"no group '{name}' on this node")
    return found[0]


def create(node: Node, caller: Principal, body: GroupIn) -> GroupOut:
    """Make a group; no rule names it yet, whatever one of this name opened before."""
    caller.require(Capability.MANAGE_USERS)
    now = node.clock()
    with node.database.write() as db:
        lock(db, GROUPS_LOCK)
        if db.get(Group, body.name) is not None:
            raise AlreadyExistsError(f"there is a group '{body.name}' already")
        if len(queries_access.groups(db)) >= _MOST:
            raise ConflictError(f"there are {_MOST} groups; delete some")
        row = Group(name=body.name, description=body.description, made_by=caller.name, made_at=now)
        db.add(row)
        db.flush()
        _add(db, row, body.members)
        said = ", ".join(sorted(body.members))
        audit.record(db, AuditEntry, caller, now, "create_group", row.name, reason=said)
        return _describe(caller, db, [row])[0]


def change(node: Node, caller: Principal, name: str, patch: GroupPatch) -> GroupOut:
    """Change who is in a group, at once for every rule that names it.

    Raises ``AuthorizationError`` where its rules give more than the caller has and somebody is to be added.
    """
    now = node.clock()
    with node.database.write() as db:
        row = _managed(caller, db, name)
        if patch.description is not None:
            row.description = patch.description
            db.add(row)
        gone = col(GroupMember.member).in_(patch.remove)
        db.exec(delete(GroupMember).where(col(GroupMember.group_name) == name, gone))
        if patch.add:
            _require_held(caller, db, name, now)
            _add(db, row, patch.add)
        said = patch.model_dump_json(exclude_defaults=True)
        audit.record(db, AuditEntry, caller, now, "change_group", name, reason=said)
        described = _describe(caller, db, [row])[0]
    node.catalogue_changed.ring()
    return described


def remove(node: Node, caller: Principal, name: str) -> None:
    """Delete a group and every rule that names it: a later one of the same name opens nothing of that."""
    with node.database.write() as db:
        row = _managed(caller, db, name)
        ended = len(queries_access.rules_of_group(db, name))
        said = f"{ended} rules ended"
        audit.record(db, AuditEntry, caller, node.clock(), "delete_group", name, reason=said)
        db.delete(row)
    node.catalogue_changed.ring()


def _managed(caller: Principal, db: Session, name: str) -> Group:
    caller.require(Capability.MANAGE_USERS)
    lock(db, GROUPS_LOCK)
    row = db.get(Group, name)
    if row is None:
        raise ObjectNotFoundError(f"no group '{name}' on this node")
    return row


def _add(db: Session, row: Group, members: Sequence[str]) -> None:
    unknown = queries_access.unknown_accounts(db, [one for one in members if "@" not in one])
    if unknown:
        raise InvalidInputError(f"members: there is no account '{unknown[0]}' on this node; make it first")
    inside = set(queries_access.group_members(db, [row.name])[row.name])
    fresh = sorted(set(members) - inside)
    if len(inside) + len(fresh) > _MOST_MEMBERS:
        raise ConflictError(f"a group has {_MOST_MEMBERS} members at most; make another")
    db.add_all(GroupMember(group_name=row.name, member=one) for one in fresh)
    db.flush()


def _require_held(caller: Principal, db: Session, name: str, now: datetime) -> None:
    if not all(_holds(caller, db, rule, now) for rule in queries_access.rules_of_group(db, name)):
        raise AuthorizationError(
            f"the rules of '{name}' give more than '{caller.name}' has; the node's owner, or somebody who "
            "manages users and has all of it, adds to it"
        )


def _holds(caller: Principal, db: Session, rule: AccessRule, now: datetime) -> bool:
    """Say whether the caller has a rule's verb without conditions, as whoever published it does.

    With a token it takes the scope to publish: its holder's own data are no more open to it than that.
    """
    if rule.dataset_id is not None:
        dataset = db.get_one(Dataset, rule.dataset_id)
        own = caller.user_id == dataset.user_id and not queries.manages(caller, dataset)
        return not own and rule.verb in queries.dataset_rights(caller, db, dataset, now).verbs
    model = db.get_one(Model, rule.model_id)
    own = caller.user_id == model.user_id and not queries_results.hosts(caller, model)
    return not own and rule.verb in queries_results.model_rights(caller, db, model, now).verbs


def _describe(caller: Principal, db: Session, rows: Sequence[Group]) -> list[GroupOut]:
    names = [row.name for row in rows]
    members = queries_access.group_members(db, names)
    rules = queries_access.rules_by_group(db, names)
    manages = caller.may(Capability.MANAGE_USERS)
    return [
        GroupOut(
            name=row.name,
            description=row.description,
            size=len(members[row.name]),
            members=members[row.name] if manages else None,
            rules=rules.get(row.name, 0),
            made_by=row.made_by,
            made_at=row.made_at,
        )
        for row in rows
    ]
