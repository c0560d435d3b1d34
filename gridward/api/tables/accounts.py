"""Accounts, sessions, ownership and the audit log of a node."""

from typing import Final

from gridward.api.tables.base import NodeTable
from gridward.server.accounts import AccountTables, OwnershipFields, SessionFields, UserFields
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


ACCOUNT_TABLES: Final = AccountTables(User, UserSession, Ownership, AuditEntry)
