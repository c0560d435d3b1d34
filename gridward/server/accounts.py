"""What accounts are made of, the same for node and gateway; each service brings its own tables."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeAlias

from sqlalchemy import JSON, BigInteger, Text
from sqlmodel import Field, Session, SQLModel

from gridward.core.schemas.accounts import MailChoice
from gridward.server.audit import AuditFields
from gridward.server.db import Database, UtcDateTime
from gridward.server.ids import Clock
from gridward.server.keys import Keys
from gridward.server.oidc.provider import Provider
from gridward.server.passwords import Passwords
from gridward.server.rate_limit import RateLimit
from gridward.server.settings import ServerSettings
from gridward.server.signing import ReplayGuard

OWNERSHIP_ID: Final = 1
CODE_ATTEMPTS: Final = 10
CODE_WINDOW_S: Final = 3600.0
"""So many wrong codes of one account's second factor in so long, from wherever they come."""
RESETS: Final = 3
RESETS_WINDOW_S: Final = 3600.0
"""So many times in so long a new password may be asked for by mail for one user name."""


ADDRESSES: Final = 5
ADDRESSES_WINDOW_S: Final = 3600.0
"""So many times in so long an account may take another e-mail address: each gets mail, whoever reads it."""


class UserFields(SQLModel):
    """Columns of an account; without a password hash it is an admitted gateway identity."""

    id: str = Field(primary_key=True, max_length=64)
    username: str = Field(unique=True, index=True, max_length=80)
    role: str = Field(max_length=32)
    password_hash: str | None = Field(default=None, max_length=300)
    disabled: bool = False
    created_at: datetime = Field(sa_type=UtcDateTime)
    totp_sealed: str | None = Field(default=None, max_length=200)
    totp_active: bool = False
    totp_step: int = Field(default=0, sa_type=BigInteger)
    recovery_hashes: list[str] = Field(default_factory=list, sa_type=JSON)
    email: str | None = Field(default=None, max_length=254)
    email_confirmed: bool = False
    email_code_hash: str | None = Field(default=None, max_length=64)
    email_code_expires_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    mails: str = Field(default=MailChoice.ALL.value, max_length=8)
    oidc_key: str | None = Field(default=None, unique=True, max_length=600)


class RoleFields(SQLModel):
    """Columns of a role that was made here; the built-in ones are in `principals`."""

    name: str = Field(primary_key=True, max_length=32)
    description: str = Field(default="", max_length=400)
    capabilities: list[str] = Field(sa_type=JSON)
    second_factor: bool = False
    made_by: str = Field(max_length=80)
    made_at: datetime = Field(sa_type=UtcDateTime)


class InvitationFields(SQLModel):
    """Columns of a one-time token by which an account's password is set; kept as its SHA-256 only.

    ``mailed_hash``: of the token that only a letter to the account's address holds. Either token ends both.
    """

    user_id: str = Field(primary_key=True, foreign_key="users.id", ondelete="CASCADE", max_length=64)
    token_hash: str = Field(max_length=64)
    mailed_hash: str | None = Field(default=None, max_length=64)
    expires_at: datetime = Field(sa_type=UtcDateTime)
    invited_by: str = Field(max_length=64)


class OutboxFields(SQLModel):
    """Columns of a letter on its way. What it says is sealed, and gone once it was sent or given up."""

    id: str = Field(primary_key=True, max_length=64)
    user_id: str = Field(foreign_key="users.id", ondelete="CASCADE", index=True, max_length=64)
    address: str = Field(max_length=254)
    sealed: str = Field(sa_type=Text)
    state: str = Field(max_length=16)
    created_at: datetime = Field(sa_type=UtcDateTime)
    due_at: datetime = Field(index=True, sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime)
    attempts: int = 0
    failure: str = Field(default="", max_length=64)
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class ServiceTokenFields(SQLModel):
    """Columns of a program's token: it may do what its account may, within its scopes, until it expires."""

    id: str = Field(primary_key=True, max_length=64)
    user_id: str = Field(foreign_key="users.id", ondelete="CASCADE", index=True, max_length=64)
    name: str = Field(max_length=64)
    scopes: list[str] = Field(sa_type=JSON)
    token_hash: str = Field(max_length=64)
    vouched: bool = False
    created_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime)


class SessionFields(SQLModel):
    """Columns of a session. Its refresh token, or its browser's cookie, is kept as its SHA-256 only.

    ``vouched``: it was opened through a provider that saw a second factor.
    """

    id: str = Field(primary_key=True, max_length=64)
    user_id: str = Field(foreign_key="users.id", ondelete="CASCADE", index=True, max_length=64)
    refresh_hash: str = Field(max_length=64)
    browser: bool = False
    vouched: bool = False
    created_at: datetime = Field(sa_type=UtcDateTime)
    last_seen_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime)
    revoked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class OwnershipFields(SQLModel):
    """Columns of the one row that says who owns the server; its key forbids a second."""

    id: int = Field(default=OWNERSHIP_ID, primary_key=True)
    user_id: str = Field(foreign_key="users.id", max_length=64)
    at: datetime = Field(sa_type=UtcDateTime)


@dataclass(frozen=True, slots=True)
class AccountTables:
    """The table classes of one service."""

    user: type[UserFields]
    session: type[SessionFields]
    ownership: type[OwnershipFields]
    audit: type[AuditFields]
    invitation: type[InvitationFields]
    service_token: type[ServiceTokenFields]
    outbox: type[OutboxFields]
    role: type[RoleFields]


Named: TypeAlias = Callable[[Session, str], bool]
"""Says whether a service speaks of a name, in rules or groups, whoever has it."""


def _never_named(_db: Session, _name: str) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Accounts:
    """Everything that signing in needs. One a server, made at start."""

    settings: ServerSettings
    keys: Keys
    database: Database
    tables: AccountTables
    passwords: Passwords
    clock: Clock
    per_user: RateLimit
    global_: RateLimit
    codes: RateLimit
    resets: RateLimit
    addresses: RateLimit
    provider: Provider | None
    named: Named = _never_named
    spent_flows: ReplayGuard = field(default_factory=ReplayGuard)
    """Sign-ins through the provider that came back, and their tickets."""
    heads: threading.Lock = field(default_factory=threading.Lock)
    """Held by whoever changes the file of the audit log's heads."""

    @classmethod
    def make(
        cls,
        settings: ServerSettings,
        keys: Keys,
        database: Database,
        tables: AccountTables,
        clock: Clock,
        named: Named = _never_named,
    ) -> "Accounts":
        """Build from settings; the limits count by the given clock."""

        def now_s() -> float:
            return clock().timestamp()

        return cls(
            settings=settings,
            keys=keys,
            database=database,
            tables=tables,
            passwords=Passwords(settings),
            clock=clock,
            per_user=RateLimit(settings.sign_in_attempts, settings.sign_in_window_s, now_s),
            global_=RateLimit(settings.sign_in_attempts_global, settings.sign_in_window_s, now_s),
            codes=RateLimit(CODE_ATTEMPTS, CODE_WINDOW_S, now_s),
            resets=RateLimit(RESETS, RESETS_WINDOW_S, now_s),
            addresses=RateLimit(ADDRESSES, ADDRESSES_WINDOW_S, now_s),
            provider=None if settings.oidc_issuer is None else Provider(settings),
            named=named,
        )
