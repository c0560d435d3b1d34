"""Accounts, sessions, ownership and the audit log of a node."""

from typing import Final

from gridward.api.tables.base import NodeTable
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


class User(NodeTable, UserFields, table=True):
    """An account of this node, or an admitted gateway identity."""

    __tablename__ = "users"


class UserSession(NodeTable, SessionFields, table=True):
    """A session of an account."""

    __tablename__ = "sessions"


class Ownership(NodeTable, OwnershipFields, table=True):
    """The one row that says who owns this node."""

    __tablename__ = "ownership"


class AuditEntry(NodeTable, AuditFields, table=True):
    """A row of the audit log; triggers refuse to change or delete it."""

    __tablename__ = "audit_entries"


class Invitation(NodeTable, InvitationFields, table=True):
    """A one-time token by which an account's password is set."""

    __tablename__ = "invitations"


class ServiceToken(NodeTable, ServiceTokenFields, table=True):
    """A program's token."""

    __tablename__ = "service_tokens"


class Outbox(NodeTable, OutboxFields, table=True):
    """A letter on its way."""

    __tablename__ = "outbox"


class CustomRole(NodeTable, RoleFields, table=True):
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
