"""Signing in and out. A session is a row: its access tokens are worth as much as the row is alive.

The refresh token is `<session id>.<secret>`, exchanged at every use. A secret that is not the session's
current one was either used before or invented by someone who knows the session's id: both end the session
(RFC 9700, 4.14.2).
"""

import hashlib
import hmac
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from sqlmodel import Session, col, delete, select, update

from gridward.core.errors import (
    NotSignedInError,
    ObjectNotFoundError,
    SecondFactorRequiredError,
    WrongCredentialsError,
)
from gridward.core.schemas.accounts import SessionInfo, SessionOut, SessionsOut
from gridward.server import audit, roles, tokens, totp
from gridward.server.accounts import Accounts, SessionFields, UserFields
from gridward.server.ids import new_id
from gridward.server.principals import Capability, Principal

_JUST_NOW: Final = timedelta(minutes=10)


@contextmanager
def guess_limits(accounts: Accounts, name: str, address: str) -> Iterator[None]:
    """Spend one attempt at a password; a block that ends well was no guess and gives it back."""
    key = f"{name}\n{address}"
    accounts.per_user.take(key)
    accounts.global_.take("")
    yield
    accounts.per_user.give_back(key)
    accounts.global_.give_back("")


def sign_in(
    accounts: Accounts, username: str, password: str, address: str, code: str | None = None
) -> SessionOut:
    """Open a session for whom `prove` finds."""
    return open_session(accounts, prove(accounts, username, password, address, code))


def prove(
    accounts: Accounts, username: str, password: str, address: str, code: str | None = None
) -> UserFields:
    """Return whose password this is, or raise `WrongCredentialsError`: one message, one hash of work.

    Raises `SecondFactorRequiredError` where the password fits and the account's code was left out.
    """
    with guess_limits(accounts, username, address):
        with accounts.database.read() as db:
            user = user_named(db, accounts, username)
        known = user is not None and not user.disabled
        fits = accounts.passwords.verify(user.password_hash if user and known else None, password)
        if user is None or not fits:
            record_refusal(accounts, username, address)
            raise WrongCredentialsError("user name and password do not fit")
        if user.totp_active and code is not None and not spend_code(accounts, user.id, code):
            record_refusal(accounts, username, address, "the code is wrong")
            raise WrongCredentialsError("the code does not fit, or was used")
    if user.totp_active and code is None:
        record_refusal(accounts, username, address, "the code is missing")
        raise SecondFactorRequiredError("this account has a second factor: sign in with its code too")
    if user.password_hash is not None and accounts.passwords.is_outdated(user.password_hash):
        _rehash(accounts, user, password)
    return user


def refresh(accounts: Accounts, refresh_token: str) -> SessionOut:
    """Exchange a refresh token for a new pair. An old one ends the session it belonged to."""
    session_id, _, secret = refresh_token.partition(".")
    now = accounts.clock()
    fresh = secrets.token_urlsafe(32)
    with accounts.database.write() as db:
        found = alive(db, accounts, session_id)
        genuine = found is not None and hmac.compare_digest(found[0].refresh_hash, hash_secret(secret))
        if found is not None:
            session, user = found
            if genuine:
                session.refresh_hash = hash_secret(fresh)
                session.last_seen_at = now
                session.expires_at = now + timedelta(seconds=accounts.settings.refresh_token_s)
            else:
                session.revoked_at = now
                why = "a refresh token that was used before"
                _record_end(accounts, db, None, session, reason=f"{user.username}: {why}")
            db.add(session)
    if found is None or not genuine:
        raise NotSignedInError("this refresh token is spent or unknown; sign in again")
    return _tokens(accounts, session, user, fresh)


def authenticate(accounts: Accounts, access_token: str) -> Principal:
    """Return the principal of an access token, or raise `NotSignedInError`. Asks the session's row."""
    own = accounts.keys.id
    claims = tokens.read(
        tokens.Kind.ACCESS,
        access_token,
        accounts.keys.token_secret,
        issuer=own,
        audience=own,
        now=accounts.clock(),
    )
    with accounts.database.read() as db:
        found = alive(db, accounts, str(claims.get("sid", "")))
        if found is None or found[1].username != claims["sub"]:
            raise NotSignedInError("this session has ended; sign in again")
        session, user = found
        return principal_of(db, accounts, user, session)


def list_own(accounts: Accounts, caller: Principal) -> SessionsOut:
    """List the caller's living sessions, newest first."""
    return list_of(accounts, caller.user_id, caller.session_id)


def list_of(accounts: Accounts, user_id: str | None, current: str) -> SessionsOut:
    """List the living sessions of an account, newest first."""
    table = accounts.tables.session
    wanted = (
        select(table)
        .where(
            col(table.user_id) == user_id,
            col(table.revoked_at).is_(None),
            col(table.expires_at) > accounts.clock(),
        )
        .order_by(col(table.created_at).desc())
    )
    with accounts.database.read() as db:
        rows = db.exec(wanted).all()
    return SessionsOut(
        items=[
            SessionInfo(
                session_id=row.id,
                created_at=row.created_at,
                last_seen_at=row.last_seen_at,
                current=row.id == current,
            )
            for row in rows
        ]
    )


def revoke(accounts: Accounts, caller: Principal, session_id: str) -> None:
    """End one of the caller's sessions at once; "current" is the one of this request."""
    wanted = caller.session_id if session_id == "current" else session_id
    with accounts.database.write() as db:
        row = db.get(accounts.tables.session, wanted)
        if row is None or row.user_id != caller.user_id or row.revoked_at is not None:
            raise ObjectNotFoundError(f"no session '{session_id}' of yours")
        row.revoked_at = accounts.clock()
        db.add(row)
        _record_end(accounts, db, caller, row)


def revoke_all(db: Session, accounts: Accounts, user_id: str, *, but: str = "") -> None:
    """End every session of an account within the transaction `db`, but one."""
    table = accounts.tables.session
    db.exec(
        update(table)
        .where(col(table.user_id) == user_id, col(table.revoked_at).is_(None), col(table.id) != but)
        .values(revoked_at=accounts.clock())
    )


def spend_code(accounts: Accounts, user_id: str, code: str) -> bool:
    """Say whether this is a code of the account's second factor that was not used yet; now it is."""
    accounts.codes.take(user_id)
    with accounts.database.write() as db:
        row = db.get(accounts.tables.user, user_id, with_for_update=True)
        if row is None or not row.totp_active or row.totp_sealed is None:
            return False
        secret = totp.unseal(accounts.keys, row.id, row.totp_sealed)
        step = totp.step_of(secret, code.strip(), accounts.clock(), row.totp_step)
        hashed = totp.hash_recovery(code)
        if step is not None:
            row.totp_step = step
        elif hashed in row.recovery_hashes:
            row.recovery_hashes = [one for one in row.recovery_hashes if one != hashed]
            left = f"{len(row.recovery_hashes)} are left"
            table = accounts.tables.audit
            audit.record(db, table, None, accounts.clock(), "use_recovery_code", row.username, reason=left)
        else:
            return False
        db.add(row)
    accounts.codes.give_back(user_id)
    return True


def lacks_second_factor(db: Session, accounts: Accounts, user: UserFields, *, vouched: bool) -> bool:
    """Say whether the account's role needs a second factor that neither it has nor a provider saw.

    Identities of a gateway sign in there.
    """
    if user.totp_active or vouched or "@" in user.username:
        return False
    return roles.needs_second_factor(db, accounts, user.role)


def check_password(accounts: Accounts, caller: Principal, password: str, address: str) -> UserFields:
    """Return the caller's account, if the password is its own; guesses count as at a sign-in.

    An account without one, which signs in through a provider, has to have done that just now.
    """
    with accounts.database.read() as db:
        user = None if caller.user_id is None else db.get(accounts.tables.user, caller.user_id)
        session = db.get(accounts.tables.session, caller.session_id)
    if user is not None and user.password_hash is None and user.oidc_key is not None:
        if session is not None and accounts.clock() - session.created_at < _JUST_NOW:
            return user
        raise WrongCredentialsError("this account has no password: sign in through its provider again first")
    with guess_limits(accounts, caller.name, address):
        if user is None or not accounts.passwords.verify(user.password_hash, password):
            record_refusal(accounts, caller.name, address, "the password is wrong")
            raise WrongCredentialsError("the password does not fit")
    return user


def has_password(accounts: Accounts, caller: Principal) -> bool:
    """Say whether the caller's account has a password; who has none signs in through a provider only."""
    with accounts.database.read() as db:
        user = None if caller.user_id is None else db.get(accounts.tables.user, caller.user_id)
    return user is not None and user.password_hash is not None


def forget(db: Session, accounts: Accounts, user_id: str, *, tokens: bool = True) -> None:
    """Delete an account's open invitation, and its tokens for programs, within the transaction `db`."""
    gone = (accounts.tables.invitation, accounts.tables.service_token)[: 2 if tokens else 1]
    for table in gone:
        db.exec(delete(table).where(col(table.user_id) == user_id))


def user_named(db: Session, accounts: Accounts, username: str, *, locked: bool = False) -> UserFields | None:
    """Return the account of this name; ``locked`` until the transaction ends, to change it by what it is."""
    table = accounts.tables.user
    wanted = select(table).where(col(table.username) == username)
    return db.exec(wanted.with_for_update() if locked else wanted).one_or_none()


def open_session(accounts: Accounts, user: UserFields, *, vouched: bool = False) -> SessionOut:
    """Open a program's session for a user who was proven to be there."""
    session, secret = start(accounts, user, accounts.settings.refresh_token_s, vouched=vouched)
    return _tokens(accounts, session, user, secret)


def start(
    accounts: Accounts,
    user: UserFields,
    lifetime_s: float,
    *,
    browser: bool = False,
    vouched: bool = False,
) -> tuple[SessionFields, str]:
    """Open a session for a user who was proven to be there, and return it with its secret."""
    now = accounts.clock()
    secret = secrets.token_urlsafe(32)
    session = accounts.tables.session(
        id=new_id("ses"),
        user_id=user.id,
        refresh_hash=hash_secret(secret),
        browser=browser,
        vouched=vouched,
        created_at=now,
        last_seen_at=now,
        expires_at=now + timedelta(seconds=lifetime_s),
    )
    with accounts.database.write() as db:
        now_is = db.get(accounts.tables.user, user.id, with_for_update=True)
        if now_is is None or now_is.disabled or _proof(now_is) != _proof(user):
            raise WrongCredentialsError("the account was changed meanwhile; sign in again")
        db.add(session)
        principal = principal_of(db, accounts, user, session)
        audit.record(db, accounts.tables.audit, principal, now, "sign_in", session.id)
    return session, secret


def principal_of(db: Session, accounts: Accounts, user: UserFields, session: SessionFields) -> Principal:
    """Return who an account is within a session; one that lacks a needed second factor may do nothing."""
    lacks = lacks_second_factor(db, accounts, user, vouched=session.vouched)
    limited = frozenset[Capability]() if lacks else None
    return roles.principal(db, accounts.tables.role, user, session.id, limited)


def _proof(user: UserFields) -> tuple[str | None, bool, str | None]:
    """What a sign-in was checked against."""
    return user.password_hash, user.totp_active, user.oidc_key


def _tokens(accounts: Accounts, session: SessionFields, user: UserFields, secret: str) -> SessionOut:
    lifetime_s = accounts.settings.access_token_s
    access = tokens.issue(
        tokens.Kind.ACCESS,
        accounts.keys.token_secret,
        issuer=accounts.keys.id,
        subject=user.username,
        audience=accounts.keys.id,
        now=accounts.clock(),
        lifetime_s=lifetime_s,
        extra={"sid": session.id},
    )
    return SessionOut(
        session_id=session.id,
        access_token=access,
        refresh_token=f"{session.id}.{secret}",
        expires_in_s=int(lifetime_s),
    )


def alive(
    db: Session, accounts: Accounts, session_id: str, *, browser: bool = False
) -> tuple[SessionFields, UserFields] | None:
    """Return a session of a browser, or of a program, that has not ended, with its account."""
    session = db.get(accounts.tables.session, session_id)
    if session is None or session.browser is not browser:
        return None
    if session.revoked_at is not None or session.expires_at <= accounts.clock():
        return None
    user = db.get(accounts.tables.user, session.user_id)
    return None if user is None or user.disabled else (session, user)


def _rehash(accounts: Accounts, user: UserFields, password: str) -> None:
    fresh = accounts.passwords.hash(password)
    with accounts.database.write() as db:
        row = db.get(accounts.tables.user, user.id, with_for_update=True)
        # Someone may have changed the password since it was checked: only the checked hash is replaced.
        if row is not None and row.password_hash == user.password_hash:
            row.password_hash = user.password_hash = fresh
            db.add(row)


def record_refusal(
    accounts: Accounts, username: str, address: str, why: str = "", *, action: str = "sign_in"
) -> None:
    """Write a wrong password or code down, in a transaction of its own."""
    now = accounts.clock()
    with accounts.database.write() as db:
        reason = f"from {address}" + (f": {why}" if why else "")
        table = accounts.tables.audit
        audit.record(db, table, None, now, action, username, decision="refused", reason=reason)


def _record_end(
    accounts: Accounts, db: Session, caller: Principal | None, session: SessionFields, reason: str = ""
) -> None:
    table = accounts.tables.audit
    audit.record(db, table, caller, accounts.clock(), "end_session", session.id, reason=reason)


def hash_secret(secret: str) -> str:
    """Return what is kept of a session's secret."""
    return hashlib.sha256(secret.encode()).hexdigest()
