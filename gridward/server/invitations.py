"""One-time tokens by which a person sets the password of an account: the first one, or after it was lost."""

import hashlib
import hmac
import secrets
from datetime import timedelta

from sqlmodel import Session, col, select

from gridward.core.errors import AuthorizationError, NotSignedInError, ObjectNotFoundError
from gridward.core.schemas.accounts import InvitationOut, UserOut
from gridward.server import audit, roles
from gridward.server.accounts import Accounts
from gridward.server.principals import Capability, Principal
from gridward.server.sessions import forget, guess_limits, revoke_all, user_named
from gridward.server.users import describe


def invite(accounts: Accounts, caller: Principal, username: str) -> InvitationOut:
    """Make the token, in place of any earlier one. The account's sessions go on until it is used."""
    caller.require(Capability.MANAGE_USERS)
    secret, now = secrets.token_urlsafe(24), accounts.clock()
    expires_at = now + timedelta(seconds=accounts.settings.invitation_s)
    with accounts.database.write() as db:
        user = user_named(db, accounts, username)
        if user is None or "@" in username:
            raise ObjectNotFoundError(f"no account '{username}' that signs in here")
        if user.id == caller.user_id:
            raise AuthorizationError("change your own password with the old one")
        if not roles.held_by(db, accounts.tables.role, user.role) <= caller.capabilities:
            raise AuthorizationError(f"'{username}' can do more than '{caller.name}'")
        row = accounts.tables.invitation(
            user_id=user.id,
            token_hash=_hash(secret),
            expires_at=expires_at,
            invited_by=caller.user_id or "",
        )
        db.merge(row)
        audit.record(db, accounts.tables.audit, caller, now, "invite_user", username)
    return InvitationOut(token=secret, expires_at=expires_at)


def accept(accounts: Accounts, token: str, password: str, address: str) -> UserOut:
    """Set the password of the account that the token is for, once; every session of the account ends.

    A second factor stays. Raises `NotSignedInError` for a token that is unknown, used or expired.
    """
    table, now = accounts.tables.invitation, accounts.clock()
    with guess_limits(accounts, "/invitations", address):
        with accounts.database.read() as db:
            row = db.exec(select(table).where(col(table.token_hash) == _hash(token))).first()
        if row is None or row.expires_at <= now:
            raise NotSignedInError("the token is unknown, was used, or has expired; ask for another")
    hashed = accounts.passwords.hash(password)
    with accounts.database.write() as db:
        current = db.get(table, row.user_id, with_for_update=True)
        user = db.get(accounts.tables.user, row.user_id)
        if current is None or not hmac.compare_digest(current.token_hash, row.token_hash) or user is None:
            raise NotSignedInError("the token was used meanwhile")
        if user.disabled:
            raise NotSignedInError("this account is locked")
        _require_inviter(db, accounts, current.invited_by, user.role)
        user.password_hash = hashed
        db.add(user)
        revoke_all(db, accounts, user.id)
        forget(db, accounts, user.id)
        audit.record(db, accounts.tables.audit, None, now, "accept_invitation", user.username)
        return describe(db, accounts, user)


def _require_inviter(db: Session, accounts: Accounts, inviter_id: str, role: str) -> None:
    """Refuse the token of an administrator who may not manage such an account any more."""
    inviter = db.get(accounts.tables.user, inviter_id)
    table = accounts.tables.role
    known = inviter is not None and not inviter.disabled
    held = roles.held_by(db, table, inviter.role) if inviter is not None and known else frozenset()
    if Capability.MANAGE_USERS not in held or not roles.held_by(db, table, role) <= held:
        raise NotSignedInError("who made this token may not any more; ask for another")


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
