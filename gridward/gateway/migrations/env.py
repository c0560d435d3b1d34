"""Alembic's entry for the gateway's schema; `Database.migrate` passes the connection."""

from gridward.gateway.tables import METADATA
from gridward.server import migration

migration.run(METADATA)
