"""The gateway's tables, in a registry of their own, so that node and gateway can live in one process."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import JSON, BigInteger, Index, Integer, MetaData, Text, UniqueConstraint
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from gridward.server.accounts import (
    AccountTables,
    InvitationFields,
    OutboxFields,
    OwnershipFields,
    RoleFields,
    ServiceTokenFields,
    SessionFields,
    UserFields,
)
from gridward.server.audit import AuditFields
from gridward.server.db import UtcDateTime

_NAMES: Final = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

# SQLite numbers rows itself only for its own INTEGER, which has 64 bits there.
_ENTRY_KEY: Final = BigInteger().with_variant(Integer, "sqlite")
_CLUSTERED: Final = {"sqlite_with_rowid": False}


class GatewayTable(SQLModel, registry=registry(metadata=MetaData(naming_convention=_NAMES))):
    """Base of every table of a gateway."""


METADATA: Final[MetaData] = GatewayTable.metadata


class User(GatewayTable, UserFields, table=True):
    """An account of this gateway: `dana` here is `dana@grid` at the nodes."""

    __tablename__ = "users"


class UserSession(GatewayTable, SessionFields, table=True):
    """A session of an account."""

    __tablename__ = "sessions"


class Ownership(GatewayTable, OwnershipFields, table=True):
    """The one row that says who owns this gateway."""

    __tablename__ = "ownership"


class AuditEntry(GatewayTable, AuditFields, table=True):
    """A row of the audit log; triggers refuse to change or delete it."""

    __tablename__ = "audit_entries"


class Invitation(GatewayTable, InvitationFields, table=True):
    """A one-time token by which an account's password is set."""

    __tablename__ = "invitations"


class ServiceToken(GatewayTable, ServiceTokenFields, table=True):
    """A program's token."""

    __tablename__ = "service_tokens"


class Outbox(GatewayTable, OutboxFields, table=True):
    """A letter on its way."""

    __tablename__ = "outbox"


class CustomRole(GatewayTable, RoleFields, table=True):
    """A role that was made here."""

    __tablename__ = "roles"


ACCOUNT_TABLES: Final = AccountTables(
    user=User,
    session=UserSession,
    ownership=Ownership,
    audit=AuditEntry,
    invitation=Invitation,
    service_token=ServiceToken,
    outbox=Outbox,
    role=CustomRole,
)


class Standing(StrEnum):
    """The gateway owner's word on a node."""

    PENDING = "pending"
    APPROVED = "approved"
    REFUSED = "refused"


class Node(GatewayTable, table=True):
    """A node that asked to join, and what became of it.

    `name` is what it asks for; `held_name` is set once it was approved, and only that is unique: asking
    reserves nothing.
    """

    __tablename__ = "nodes"

    id: str = Field(primary_key=True, max_length=26)
    name: str = Field(max_length=32, index=True)
    held_name: str | None = Field(default=None, max_length=32, unique=True)
    url: str = Field(max_length=600)
    owner: str = Field(default="", max_length=100)
    sign_key: str = Field(max_length=43)
    seal_key: str = Field(max_length=43)
    offers_party: bool
    offers_provider: bool
    standing: str = Field(max_length=16)
    asked_at: datetime = Field(sa_type=UtcDateTime)
    last_seen_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    catalogue_mark: str | None = Field(default=None, max_length=64)


class NameHolder(GatewayTable, table=True):
    """The node that was last approved under a name or one that looks like it; kept when the node leaves."""

    __tablename__ = "name_holders"

    likeness: str = Field(primary_key=True, max_length=32)
    name: str = Field(max_length=32)
    node_id: str = Field(max_length=26)


class WitnessedHead(GatewayTable, table=True):
    """What a node signed of its audit log: the last head of each hour, and all that it contradicted later."""

    __tablename__ = "witnessed_heads"
    __table_args__ = (Index("ix_witnessed_heads_node_id_count", "node_id", "count"),)

    key: int | None = Field(default=None, primary_key=True, sa_type=_ENTRY_KEY)
    node_id: str = Field(foreign_key="nodes.id", ondelete="CASCADE", max_length=26)
    hour: datetime = Field(sa_type=UtcDateTime)
    count: int = Field(sa_type=BigInteger)
    head: dict[str, Any] = Field(sa_type=JSON)
    contradicted: bool = False


class Run(GatewayTable, table=True):
    """A federated training, as its driver and its starter tell of it. `revision` grows with every change.

    `stored_bytes`: what its rounds take here, as JSON.
    """

    __tablename__ = "runs"
    __table_args__ = (Index("ix_runs_created_at_id", "created_at", "id"),)

    id: str = Field(primary_key=True, max_length=64)
    user_id: str = Field(foreign_key="users.id", ondelete="CASCADE", max_length=64, index=True)
    started_by: str = Field(max_length=80)
    model: str = Field(max_length=100)
    strategy: str = Field(max_length=100)
    nodes: list[str] = Field(sa_type=JSON)
    rounds: int
    rounds_done: int = 0
    state: str = Field(max_length=16)
    detail: str = Field(default="", sa_type=Text)
    best_round: int | None = None
    loss: float | None = None
    revision: int = 1
    stored_bytes: int = 0
    created_at: datetime = Field(sa_type=UtcDateTime)
    heard_at: datetime = Field(sa_type=UtcDateTime)


class RunRound(GatewayTable, table=True):
    """A round of a run, and the run's revision when it was last told."""

    __tablename__ = "run_rounds"

    run_id: str = Field(primary_key=True, foreign_key="runs.id", ondelete="CASCADE", max_length=64)
    number: int = Field(primary_key=True)
    revision: int = Field(index=True)
    record: dict[str, Any] = Field(sa_type=JSON)


class CatalogueEntry(GatewayTable, table=True):
    """A dataset or model that a node's owner made discoverable for someone of this gateway."""

    __tablename__ = "catalogue_entries"
    __table_args__ = (
        UniqueConstraint("node_id", "kind", "ref"),
        Index("ix_catalogue_entries_kind_ref", "kind", "ref"),
        Index("ix_catalogue_entries_name_key", "name", "key"),
    )

    key: int | None = Field(default=None, primary_key=True, sa_type=_ENTRY_KEY)
    node_id: str = Field(foreign_key="nodes.id", ondelete="CASCADE", max_length=26)
    kind: str = Field(max_length=16)
    ref: str = Field(max_length=64)
    name: str = Field(max_length=64)
    description: str = Field(sa_type=Text)
    tags: list[str] = Field(sa_type=JSON)
    rows: int | None = Field(default=None, sa_type=BigInteger)
    tensors: list[dict[str, Any]] = Field(sa_type=JSON)
    digest: str = Field(max_length=64)
    first_seen_at: datetime = Field(sa_type=UtcDateTime)


class CatalogueTerm(GatewayTable, table=True):
    """One word or `#tag` of an entry; a word never contains `#`."""

    __tablename__ = "catalogue_terms"
    __table_args__ = (Index("ix_catalogue_terms_term_entry_key", "term", "entry_key"), _CLUSTERED)

    entry_key: int = Field(
        primary_key=True, foreign_key="catalogue_entries.key", ondelete="CASCADE", sa_type=_ENTRY_KEY
    )
    term: str = Field(primary_key=True, max_length=65)


class CatalogueReader(GatewayTable, table=True):
    """One name that may discover an entry: `dana@grid` or `@signed-in`."""

    __tablename__ = "catalogue_readers"
    __table_args__ = (Index("ix_catalogue_readers_reader_entry_key", "reader", "entry_key"), _CLUSTERED)

    entry_key: int = Field(
        primary_key=True, foreign_key="catalogue_entries.key", ondelete="CASCADE", sa_type=_ENTRY_KEY
    )
    reader: str = Field(primary_key=True, max_length=80)
