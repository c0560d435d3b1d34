"""Roles: what each may do, who needs a second factor, and making, changing and deleting custom ones.

A custom role holds capabilities of its maker, at most. It is looked up whenever somebody is authenticated: a
change counts from the next request on, for tokens of programs too.
"""

from collections.abc import Iterable
from typing import Final

from sqlmodel import Session, col, func, select

from gridward.core.errors import (
    AlreadyExistsError,
    AuthorizationError,
    ConflictError,
    InvalidInputError,
    ObjectNotFoundError,
)
from gridward.core.schemas.roles import RoleIn, RoleOut, RolePatch, RolesOut
from gridward.server import audit
from gridward.server.accounts import Accounts, RoleFields, UserFields
from gridward.server.db import lock
from gridward.server.principals import CAPABILITIES, GUARDED, Capability, Principal

_MOST: Final = 100
LOCK: Final = "roles"


def held_by(db: Session, table: type[RoleFields], role: str) -> frozenset[Capability]:
    """Capabilities of a role; one that is gone has none."""
    if role in CAPABILITIES:
        return CAPABILITIES[role]
    row = db.get(table, role)
    return frozenset() if row is None else frozenset(map(Capability, row.capabilities))


def principal(
    db: Session,
    table: type[RoleFields],
    user: UserFields,
    session_id: str = "",
    limited_to: frozenset[Capability] | None = None,
) -> Principal:
    """Return an account as a caller, with what its role may do now."""
    custom = held_by(db, table, user.role)
    return Principal(user.username, user.role, user.id, session_id, limited_to, custom)


def needs_second_factor(db: Session, accounts: Accounts, role: str) -> bool:
    """Say whether accounts of this role may do nothing without one.

    The setting names built-in roles. A custom role needs one if it says so, or if it holds a capability that
    opens other people's data or accounts and that a named role holds too.
    """
    named = accounts.settings.second_factor_roles
    if role in CAPABILITIES:
        return role in named
    row = db.get(accounts.tables.role, role)
    return row is not None and _needs(accounts, row)


def require_grantable(db: Session, accounts: Accounts, caller: Principal, role: str) -> None:
    """Raise unless the role exists and can do no more than the caller.

    In a transaction that writes, the role neither changes nor goes until that ends.
    """
    if role not in CAPABILITIES:
        lock(db, LOCK)
        if db.get(accounts.tables.role, role) is None:
            known = ", ".join([*CAPABILITIES, *_names(db, accounts)])
            raise InvalidInputError(f"role: there is no role '{role}' here; there are {known}"[:400])
    if not held_by(db, accounts.tables.role, role) <= caller.capabilities:
        raise AuthorizationError(f"'{role}' can do more than '{caller.name}', who may not grant it")


def list_all(accounts: Accounts, caller: Principal) -> RolesOut:
    """List the roles of this server, for its accounts."""
    if caller.user_id is None:
        raise AuthorizationError(f"'{caller.name}' has no account here")
    table = accounts.tables.role
    with accounts.database.read() as db:
        rows = db.exec(select(table).order_by(col(table.name))).all()
    built_in = [
        RoleOut(
            name=name,
            description="",
            capabilities=sorted(capabilities),
            built_in=True,
            second_factor=name in accounts.settings.second_factor_roles,
            made_by="",
            made_at=None,
        )
        for name, capabilities in CAPABILITIES.items()
    ]
    return RolesOut(items=built_in + [_describe(accounts, row) for row in rows])


def create(accounts: Accounts, caller: Principal, body: RoleIn) -> RoleOut:
    """Make a role of capabilities that the caller has."""
    caller.require(Capability.MANAGE_USERS)
    capabilities = _grantable(caller, body.capabilities)
    if body.name in CAPABILITIES:
        raise AlreadyExistsError(f"'{body.name}' is built in; take another name")
    row = accounts.tables.role(
        name=body.name,
        description=body.description,
        capabilities=capabilities,
        second_factor=body.second_factor,
        made_by=caller.name,
        made_at=accounts.clock(),
    )
    with accounts.database.write() as db:
        lock(db, LOCK)
        if db.get(accounts.tables.role, body.name) is not None:
            raise AlreadyExistsError(f"there is a role '{body.name}' already")
        if len(_names(db, accounts)) >= _MOST:
            raise ConflictError(f"there are {_MOST} roles; delete some")
        db.add(row)
        _record(accounts, db, caller, "create_role", row)
    return _describe(accounts, row)


def change(accounts: Accounts, caller: Principal, name: str, patch: RolePatch) -> RoleOut:
    """Change what those who hold a role may do, at once; never one's own role, nor one that can do more."""
    with accounts.database.write() as db:
        row = _managed(accounts, db, caller, name)
        if patch.capabilities is not None:
            row.capabilities = _grantable(caller, patch.capabilities)
        if patch.description is not None:
            row.description = patch.description
        if patch.second_factor is not None:
            row.second_factor = patch.second_factor
        db.add(row)
        _record(accounts, db, caller, "change_role", row)
    return _describe(accounts, row)


def remove(accounts: Accounts, caller: Principal, name: str) -> None:
    """Delete a role that nobody holds; rules of datasets and models that name it go with it.

    A later role of the same name opens nothing that this one did.
    """
    user = accounts.tables.user
    with accounts.database.write() as db:
        row = _managed(accounts, db, caller, name)
        holders = db.exec(select(func.count()).select_from(user).where(col(user.role) == name)).one()
        if holders:
            raise ConflictError(f"{holders} accounts are '{name}'; give them another role first")
        _record(accounts, db, caller, "delete_role", row)
        db.delete(row)


def _managed(accounts: Accounts, db: Session, caller: Principal, name: str) -> RoleFields:
    caller.require(Capability.MANAGE_USERS)
    lock(db, LOCK)
    if name in CAPABILITIES:
        raise AuthorizationError(f"'{name}' is built in and stays as it is; make a role of your own")
    row = db.get(accounts.tables.role, name)
    if row is None:
        raise ObjectNotFoundError(f"no role '{name}'")
    if name == caller.role:
        raise AuthorizationError("nobody changes the role that they hold; ask another administrator")
    require_grantable(db, accounts, caller, name)
    return row


def _grantable(caller: Principal, capabilities: Iterable[str]) -> list[str]:
    wanted = set(capabilities)
    unknown = sorted(wanted - set(Capability))
    if unknown:
        raise InvalidInputError(
            f"capabilities: there is no {', '.join(unknown)}; there are {', '.join(Capability)}"[:400]
        )
    lacking = sorted(wanted - caller.capabilities)
    if lacking:
        raise AuthorizationError(f"'{caller.name}' may not {', '.join(lacking)}, and gives it to no role")
    return sorted(wanted)


def _names(db: Session, accounts: Accounts) -> list[str]:
    table = accounts.tables.role
    return sorted(db.exec(select(table.name)).all())


def _needs(accounts: Accounts, row: RoleFields) -> bool:
    guarded = GUARDED & set(map(Capability, row.capabilities))
    named = accounts.settings.second_factor_roles
    return row.second_factor or any(guarded & CAPABILITIES[role] for role in named)


def _record(accounts: Accounts, db: Session, caller: Principal, action: str, row: RoleFields) -> None:
    said = ", ".join(row.capabilities)
    audit.record(db, accounts.tables.audit, caller, accounts.clock(), action, row.name, reason=said)


def _describe(accounts: Accounts, row: RoleFields) -> RoleOut:
    return RoleOut(
        name=row.name,
        description=row.description,
        capabilities=row.capabilities,
        built_in=False,
        second_factor=_needs(accounts, row),
        made_by=row.made_by,
        made_at=row.made_at,
    )
