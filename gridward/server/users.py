"""Accounts: the owner's first visit, making and changing users, passwords."""

from datetime import datetime

from sqlmodel import Session, col, func, select

from gridward.core.errors import (
    AlreadyExistsError,
    AuthorizationError,
    InvalidInputError,
    ObjectNotFoundError,
    SetupRefusedError,
    WrongCredentialsError,
)
from gridward.core.schemas.accounts import (
    MailChoice,
    RoleName,
    SessionsOut,
    UserIn,
    UserOut,
    UserPatch,
    UsersOut,
)
from gridward.server import audit, roles
from gridward.server.accounts import OWNERSHIP_ID, Accounts, UserFields
from gridward.server.addresses import ask_confirmation, change_address
from gridward.server.ids import new_id
from gridward.server.keys import is_setup_token, spend_setup_token
from gridward.server.principals import Capability, Principal
from gridward.server.sessions import forget, guess_limits, list_of, revoke_all, user_named


def is_owned(accounts: Accounts) -> bool:
    """Say whether the owner has used the one-time token."""
    with accounts.database.read() as db:
        return db.get(accounts.tables.ownership, OWNERSHIP_ID) is not None


def setup(accounts: Accounts, token: str, username: str, password: str, address: str) -> UserOut:
    """Make the owner's account for whoever holds the one-time token, once; else `SetupRefusedError`."""
    with guess_limits(accounts, "/setup", address):
        if is_owned(accounts) or not is_setup_token(accounts.settings.data_dir, token):
            raise SetupRefusedError("the one-time token is wrong or was used; `gridward init` printed it")
    now = accounts.clock()
    owner = _account(accounts, username, RoleName.OWNER.value, accounts.passwords.hash(password), now)
    with accounts.database.write() as db:
        if db.get(accounts.tables.ownership, OWNERSHIP_ID) is not None:
            raise SetupRefusedError("the server has an owner already")
        db.add(owner)
        db.flush()
        db.add(accounts.tables.ownership(id=OWNERSHIP_ID, user_id=owner.id, at=now))
        principal = Principal(username, RoleName.OWNER, owner.id, "")
        audit.record(db, accounts.tables.audit, principal, now, "setup", username)
        made = describe(db, accounts, owner)
    spend_setup_token(accounts.settings.data_dir)
    return made


def create(accounts: Accounts, caller: Principal, body: UserIn) -> UserOut:
    """Make an account, or admit a gateway identity (`dana@grid`, no password) with a role."""
    caller.require(Capability.MANAGE_USERS)
    with accounts.database.read() as db:
        roles.require_grantable(db, accounts, caller, body.role)
    if ("@" in body.username) == (body.invited or body.password is not None):
        raise InvalidInputError(
            "password: an account needs one or an invitation, a gateway identity such as dana@grid neither"
        )
    if body.invited and body.password is not None:
        raise InvalidInputError("invited: who is invited sets the password")
    hashed = None if body.password is None else accounts.passwords.hash(body.password.get_secret_value())
    now = accounts.clock()
    user = _account(accounts, body.username, body.role, hashed, now)
    user.email = body.email
    with accounts.database.write() as db:
        roles.require_grantable(db, accounts, caller, body.role)
        if user_named(db, accounts, body.username) is not None:
            raise AlreadyExistsError(f"the user name '{body.username}' is taken")
        db.add(user)
        db.flush()
        ask_confirmation(db, accounts, user)
        audit.record(db, accounts.tables.audit, caller, now, "create_user", body.username, reason=body.role)
        return describe(db, accounts, user)


def list_all(accounts: Accounts, caller: Principal, offset: int, limit: int) -> UsersOut:
    """List accounts by name, for those who manage them."""
    caller.require(Capability.MANAGE_USERS)
    table = accounts.tables.user
    with accounts.database.read() as db:
        rows = db.exec(select(table).order_by(col(table.username)).offset(offset).limit(limit)).all()
        total = db.exec(select(func.count()).select_from(table)).one()
        return UsersOut(items=[describe(db, accounts, row) for row in rows], total=total)


def get_own(accounts: Accounts, caller: Principal) -> UserOut:
    """Describe the caller's own account."""
    if caller.user_id is None:
        raise ObjectNotFoundError(f"'{caller.name}' has no account here; the owner may admit it")
    with accounts.database.read() as db:
        user = db.get(accounts.tables.user, caller.user_id)
        if user is None:
            raise ObjectNotFoundError("this account is gone")
        return describe(db, accounts, user)


def get(accounts: Accounts, caller: Principal, username: str) -> UserOut:
    """Describe an account, for those who manage it."""
    with accounts.database.read() as db:
        return describe(db, accounts, managed(db, accounts, caller, username))


def change(accounts: Accounts, caller: Principal, username: str, patch: UserPatch) -> UserOut:
    """Change role or disable. Nobody changes themselves, or someone who may do what they may not."""
    caller.require(Capability.MANAGE_USERS)
    now = accounts.clock()
    with accounts.database.write() as db:
        if patch.role is not None:
            roles.require_grantable(db, accounts, caller, patch.role)
        user = user_named(db, accounts, username, locked=True)
        if user is None:
            raise ObjectNotFoundError(f"no user '{username}'")
        if user.id == caller.user_id:
            raise AuthorizationError("nobody changes their own role or state; ask another administrator")
        _require_manageable(db, accounts, caller, user)
        if patch.role is not None:
            user.role = patch.role
        if patch.disabled is not None:
            user.disabled = patch.disabled
        if user.disabled:
            revoke_all(db, accounts, user.id)
        forget(db, accounts, user.id, tokens=user.disabled)
        if patch.email is not None:
            change_address(db, accounts, user, patch.email or None)
        db.add(user)
        said = _said(patch)
        audit.record(db, accounts.tables.audit, caller, now, "change_user", username, reason=said)
        return describe(db, accounts, user)


def list_sessions(accounts: Accounts, caller: Principal, username: str) -> SessionsOut:
    """List the living sessions of an account, for those who manage it."""
    with accounts.database.read() as db:
        user = managed(db, accounts, caller, username)
    return list_of(accounts, user.id, caller.session_id)


def end_sessions(accounts: Accounts, caller: Principal, username: str) -> None:
    """End every session and token of an account at once, for those who manage it."""
    with accounts.database.write() as db:
        user = managed(db, accounts, caller, username, locked=True)
        revoke_all(db, accounts, user.id)
        forget(db, accounts, user.id)
        audit.record(db, accounts.tables.audit, caller, accounts.clock(), "end_sessions", username)


def change_password(accounts: Accounts, caller: Principal, old: str, new: str, address: str) -> None:
    """Change the caller's own password; every other session of the account ends.

    Guesses at the old password count against the same limit as sign-ins.
    """
    with accounts.database.read() as db:
        user = None if caller.user_id is None else db.get(accounts.tables.user, caller.user_id)
    with guess_limits(accounts, caller.name, address):
        if user is None or not accounts.passwords.verify(user.password_hash, old):
            raise WrongCredentialsError("the old password does not fit")
    hashed = accounts.passwords.hash(new)
    with accounts.database.write() as db:
        row = db.get(accounts.tables.user, user.id, with_for_update=True)
        if row is None or row.password_hash != user.password_hash:
            raise WrongCredentialsError("the password was changed meanwhile")
        row.password_hash = hashed
        db.add(row)
        revoke_all(db, accounts, row.id, but=caller.session_id)
        forget(db, accounts, row.id)
        audit.record(db, accounts.tables.audit, caller, accounts.clock(), "change_password", row.username)


def describe(db: Session, accounts: Accounts, user: UserFields) -> UserOut:
    """Return what may be shown of an account."""
    return UserOut(
        username=user.username,
        role=user.role,
        capabilities=sorted(roles.held_by(db, accounts.tables.role, user.role)),
        disabled=user.disabled,
        second_factor=user.totp_active,
        oidc=user.oidc_key is not None,
        email=user.email,
        email_confirmed=user.email_confirmed,
        mails=MailChoice(user.mails),
        created_at=user.created_at,
    )


def _said(patch: UserPatch) -> str:
    """What the log keeps of a change: never the address."""
    without = patch.model_copy(update={"email": None if patch.email is None else "changed"})
    return without.model_dump_json(exclude_none=True)


def _account(
    accounts: Accounts, username: str, role: str, password_hash: str | None, now: datetime
) -> UserFields:
    return accounts.tables.user(
        id=new_id("usr"), username=username, role=role, password_hash=password_hash, created_at=now
    )


def managed(
    db: Session, accounts: Accounts, caller: Principal, username: str, *, locked: bool = False
) -> UserFields:
    """Return an account that the caller may manage, or raise a refusal."""
    caller.require(Capability.MANAGE_USERS)
    user = user_named(db, accounts, username, locked=locked)
    if user is None:
        raise ObjectNotFoundError(f"no user '{username}'")
    _require_manageable(db, accounts, caller, user)
    return user


def _require_manageable(db: Session, accounts: Accounts, caller: Principal, user: UserFields) -> None:
    """An account whose role is gone holds nothing, and may be given another."""
    if not roles.held_by(db, accounts.tables.role, user.role) <= caller.capabilities:
        raise AuthorizationError(f"'{user.username}' can do more than '{caller.name}', who may not manage it")
