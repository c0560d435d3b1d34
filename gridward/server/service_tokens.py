"""Tokens for programs: named, limited to capabilities, with an end, revocable; kept as their SHA-256 only."""

import hashlib
import hmac
import secrets
from datetime import timedelta
from typing import Final

from sqlmodel import col, func, select

from gridward.core.errors import (
    AuthorizationError,
    ConflictError,
    InvalidInputError,
    NotSignedInError,
    ObjectNotFoundError,
)
from gridward.core.schemas.accounts import (
    PROGRAMS,
    ServiceTokenIn,
    ServiceTokenMade,
    ServiceTokenOut,
    ServiceTokensOut,
)
from gridward.server import audit, roles
from gridward.server.accounts import Accounts, ServiceTokenFields
from gridward.server.ids import new_id
from gridward.server.principals import Capability, Principal
from gridward.server.sessions import check_password, lacks_second_factor

_MOST: Final = 100


def is_one(token: str) -> bool:
    """Say whether a Bearer token is of this kind, by its looks."""
    return token.startswith(PROGRAMS)


def create(accounts: Accounts, caller: Principal, body: ServiceTokenIn, address: str) -> ServiceTokenMade:
    """Make a token for the caller's account, with its password: neither a session nor a token is enough."""
    if caller.user_id is None or caller.limited_to is not None or "@" in caller.name:
        raise AuthorizationError(
            "only an account of this server that signed in with its password makes tokens"
        )
    unknown = sorted(set(body.scopes) - caller.capabilities)
    if unknown:
        raise InvalidInputError(f"scopes: '{caller.name}' may not {', '.join(unknown)[:200]}")
    check_password(accounts, caller, body.password.get_secret_value(), address)
    now, table = accounts.clock(), accounts.tables.service_token
    secret = secrets.token_urlsafe(32)
    row = table(
        id=new_id(PROGRAMS.rstrip("-")),
        user_id=caller.user_id,
        name=body.name,
        scopes=sorted(set(body.scopes)),
        token_hash=_hash(secret),
        created_at=now,
        expires_at=now + timedelta(seconds=body.lifetime_s),
    )
    with accounts.database.write() as db:
        session = db.get(accounts.tables.session, caller.session_id)
        row.vouched = session is not None and session.vouched
        living = (col(table.user_id) == caller.user_id, col(table.expires_at) > now)
        if db.exec(select(func.count()).select_from(table).where(*living)).one() >= _MOST:
            raise ConflictError(f"you have {_MOST} tokens; revoke some")
        db.add(row)
        said = f"{row.name}: {', '.join(row.scopes)}"
        audit.record(db, accounts.tables.audit, caller, now, "create_service_token", row.id, reason=said)
    return ServiceTokenMade(**_describe(row).model_dump(), token=f"{row.id}.{secret}")


def list_own(accounts: Accounts, caller: Principal) -> ServiceTokensOut:
    """List the caller's tokens that have not expired, newest first."""
    table = accounts.tables.service_token
    living = (col(table.user_id) == caller.user_id, col(table.expires_at) > accounts.clock())
    with accounts.database.read() as db:
        rows = db.exec(select(table).where(*living).order_by(col(table.created_at).desc())).all()
    return ServiceTokensOut(items=[_describe(row) for row in rows])


def revoke(accounts: Accounts, caller: Principal, token_id: str) -> None:
    """End one of the caller's tokens at once."""
    with accounts.database.write() as db:
        row = db.get(accounts.tables.service_token, token_id)
        if row is None or row.user_id != caller.user_id:
            raise ObjectNotFoundError(f"no token '{token_id}' of yours")
        db.delete(row)
        audit.record(db, accounts.tables.audit, caller, accounts.clock(), "revoke_service_token", token_id)


def authenticate(accounts: Accounts, token: str) -> Principal:
    """Return the account behind a token, limited to its scopes, or raise `NotSignedInError`."""
    token_id, _, secret = token.partition(".")
    with accounts.database.read() as db:
        row = db.get(accounts.tables.service_token, token_id)
        user = None if row is None else db.get(accounts.tables.user, row.user_id)
        genuine = row is not None and hmac.compare_digest(row.token_hash, _hash(secret))
        if row is None or user is None or not genuine or user.disabled or row.expires_at <= accounts.clock():
            raise NotSignedInError("this token has expired, was revoked, or never was")
        scopes = frozenset(map(Capability, row.scopes))
        if lacks_second_factor(db, accounts, user, vouched=row.vouched):
            scopes = frozenset()
        return roles.principal(db, accounts.tables.role, user, row.id, scopes)


def _describe(row: ServiceTokenFields) -> ServiceTokenOut:
    return ServiceTokenOut(
        id=row.id, name=row.name, scopes=row.scopes, created_at=row.created_at, expires_at=row.expires_at
    )


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
