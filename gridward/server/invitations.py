"""One-time tokens by which a person sets the password of an account: the first one, or after it was lost."""

import hashlib
import hmac
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from sqlmodel import Session, col, or_, select

from gridward.core.errors import (
    AuthorizationError,
    ConflictError,
    NotSignedInError,
    ObjectNotFoundError,
)
from gridward.core.schemas.accounts import InvitationOut, UserOut
from gridward.server import audit, letters, outbox, roles
from gridward.server.accounts import Accounts, InvitationFields, UserFields
from gridward.server.addresses import ask_confirmation, has_holder, set_confirmed
from gridward.server.principals import Capability, Principal
from gridward.server.sessions import forget, guess_limits, revoke_all, user_named
from gridward.server.users import describe


def invite(accounts: Accounts, caller: Principal, username: str) -> InvitationOut:
    """Make the token, in place of any earlier one. The account's sessions go on until it is used.

    Another token goes to the account's e-mail address, if this server sends mail and the address is confirmed
    or nobody holds the account yet: who uses that one has shown that letters reach them there.
    """
    caller.require(Capability.MANAGE_USERS)
    now = accounts.clock()
    expires_at = now + timedelta(seconds=accounts.settings.invitation_s)
    with accounts.database.write() as db:
        user = user_named(db, accounts, username, locked=True)
        if user is None or "@" in username:
            raise ObjectNotFoundError(f"no account '{username}' that signs in here")
        if user.id == caller.user_id:
            raise AuthorizationError("change your own password with the old one")
        if not roles.held_by(db, accounts.tables.role, user.role) <= caller.capabilities:
            raise AuthorizationError(f"'{username}' can do more than '{caller.name}'")
        secret, in_letter = _draw(db, accounts, user, expires_at, by=caller.user_id or "")
        letter = letters.invitation(accounts, username, in_letter, expires_at)
        first = None if has_holder(user) else user.email
        mailed = outbox.put(db, accounts, user, letter, expires_at=expires_at, address=first)
        audit.record(db, accounts.tables.audit, caller, now, "invite_user", username)
    return InvitationOut(token=secret, expires_at=expires_at, mailed=mailed)


def ask_reset(accounts: Accounts, username: str, address: str) -> None:
    """Mail a one-time token to the address of an account with a password, if there is such an account.

    The caller learns nothing of that: the answer, the limits and the written line are the same for every
    name. While an administrator's token lasts, none is made in its place: strangers can ask for this. Raises
    `ConflictError` where this server mails no resets, `TooManyAttemptsError`.
    """
    if not outbox.sends(accounts) or not accounts.settings.mail_resets:
        raise ConflictError("this server mails no resets; ask an administrator for a one-time token")
    accounts.per_user.take(f"/password-resets\n{address}")
    accounts.resets.take(username)
    now = accounts.clock()
    expires_at = now + timedelta(seconds=accounts.settings.reset_s)
    with accounts.database.write() as db:
        user = user_named(db, accounts, username, locked=True)
        mailed = user is not None and user.password_hash is not None and user.email_confirmed
        if user is not None and mailed and not user.disabled and not _invited(db, accounts, user.id):
            _, in_letter = _draw(db, accounts, user, expires_at, by=user.id)
            letter = letters.reset(accounts, username, in_letter, expires_at)
            outbox.put(db, accounts, user, letter, expires_at=expires_at)
        reason = f"from {address}"
        audit.record(db, accounts.tables.audit, None, now, "ask_reset", username, reason=reason)


def accept(accounts: Accounts, token: str, password: str, address: str) -> UserOut:
    """Set the password of the account that the token is for, once; every session of the account ends.

    A second factor stays. Raises `NotSignedInError` for a token that is unknown, used or expired.
    """
    row = known(accounts, token, address)
    hashed = accounts.passwords.hash(password)
    with redeemed(accounts, row, token) as (db, user):
        user.password_hash = hashed
        return describe(db, accounts, user)


def known(accounts: Accounts, token: str, address: str, *, resets: bool = True) -> InvitationFields:
    """Return the row of a token, or raise `NotSignedInError`; guesses count as at a sign-in.

    Without ``resets``, one that was mailed because somebody asked for it is like an unknown one.
    """
    table = accounts.tables.invitation
    with guess_limits(accounts, "/invitations", address):
        with accounts.database.read() as db:
            either = or_(col(table.token_hash) == _hash(token), col(table.mailed_hash) == _hash(token))
            row = db.exec(select(table).where(either)).first()
        if row is None or row.expires_at <= accounts.clock() or not (resets or _by_another(row)):
            raise NotSignedInError("the token is unknown, was used, or has expired; ask for another")
    return row


@contextmanager
def redeemed(accounts: Accounts, row: InvitationFields, token: str) -> Iterator[tuple[Session, UserFields]]:
    """Spend a token in the transaction of the block, which may change the account that it is for.

    One that came by letter confirms the address; with the other, a letter asks for that. The account is
    locked before the invitation, as by whoever changes it.
    """
    table = accounts.tables.invitation
    with accounts.database.write() as db:
        user = db.get(accounts.tables.user, row.user_id, with_for_update=True)
        current = db.get(table, row.user_id, with_for_update=True)
        if current is None or not hmac.compare_digest(current.token_hash, row.token_hash) or user is None:
            raise NotSignedInError("the token was used meanwhile")
        if user.disabled:
            raise NotSignedInError("this account is locked")
        if _by_another(current):
            _require_inviter(db, accounts, current.invited_by, user.role)
        if current.mailed_hash is not None and hmac.compare_digest(current.mailed_hash, _hash(token)):
            set_confirmed(user)
        yield db, user
        if not user.email_confirmed:
            ask_confirmation(db, accounts, user)
        db.add(user)
        revoke_all(db, accounts, user.id)
        forget(db, accounts, user.id)
        audit.record(db, accounts.tables.audit, None, accounts.clock(), "accept_invitation", user.username)


def _draw(
    db: Session, accounts: Accounts, user: UserFields, expires_at: datetime, *, by: str
) -> tuple[str, str]:
    """Draw the account's tokens within the transaction `db`: what is shown once, and what a letter holds."""
    shown, in_letter = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
    row = accounts.tables.invitation(
        user_id=user.id,
        token_hash=_hash(shown),
        mailed_hash=_hash(in_letter),
        expires_at=expires_at,
        invited_by=by,
    )
    db.merge(row)
    return shown, in_letter


def _invited(db: Session, accounts: Accounts, user_id: str) -> bool:
    row = db.get(accounts.tables.invitation, user_id, with_for_update=True)
    return row is not None and row.expires_at > accounts.clock() and _by_another(row)


def _by_another(row: InvitationFields) -> bool:
    """Say whether somebody who manages the account made the token; else it is a reset that was asked for."""
    return row.invited_by != row.user_id


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
