"""Alembic's entry for the node's schema; `Database.migrate` passes the connection."""

from gridward.api.tables.all import METADATA
from gridward.server import migration

migration.run(METADATA)
