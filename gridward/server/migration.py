"""What both services' Alembic environments run, and how a first revision is written from the tables."""

import tempfile
from pathlib import Path
from typing import Literal

from alembic import context
from alembic.autogenerate import produce_migrations, render_python_code
from alembic.autogenerate.api import AutogenContext
from alembic.migration import MigrationContext
from sqlalchemy import MetaData
from sqlmodel import AutoString

from gridward.server.db import Database, UtcDateTime


def run(metadata: MetaData) -> None:
    """Run the wanted revisions on the connection that `Database.migrate` passed in, in its transaction."""
    connection = context.config.attributes["connection"]
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_as_batch=connection.dialect.name == "sqlite",
    )
    with context.begin_transaction():
        context.run_migrations()


def render_initial(metadata: MetaData) -> str:
    """Return the body of the first revision: every table of `metadata`, none of this program's own types."""
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{Path(folder) / 'empty.db'}")
        try:
            with database.engine.connect() as connection:
                migration = MigrationContext.configure(connection, opts={"target_metadata": metadata})
                upgrade = produce_migrations(migration, metadata).upgrade_ops
                if upgrade is None:
                    raise ValueError("there are no tables")
                return render_python_code(upgrade, render_item=_render_type)
        finally:
            database.close()


def _render_type(kind: str, item: object, _context: AutogenContext) -> str | Literal[False]:
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(item, AutoString):
        return f"sa.String(length={item.length})"
    return False
