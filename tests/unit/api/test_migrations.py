"""The schema on disk and the tables in code are the same, however the database came to be."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from gridward.api.main import MIGRATIONS
from gridward.api.tables.all import METADATA
from gridward.server.db import Database


@pytest.fixture
def migrations() -> None:
    """Databases without tables."""


@pytest.fixture
def database(database_url: str | None, tmp_path: Path) -> Iterator[Database]:
    database = Database(database_url or f"sqlite:///{tmp_path / 'a.db'}")
    yield database
    database.close()


def test_migrations_make_exactly_the_tables_of_the_code(database: Database) -> None:
    database.migrate(MIGRATIONS)
    with database.engine.connect() as connection:
        migration = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(migration, METADATA) == []


def test_migrating_again_changes_nothing(database: Database) -> None:
    database.migrate(MIGRATIONS)
    with database.write() as db:
        db.connection().execute(
            text(
                "INSERT INTO audit_entries"
                " (id, at, actor, session_id, action, subject, decision, reason, digest)"
                " VALUES (1, '2026-03-01', 'a', '', 'b', '', 'c', '', 'd')"
            )
        )
    database.migrate(MIGRATIONS)
    with database.read() as db:
        assert db.connection().scalar(text("SELECT count(*) FROM audit_entries")) == 1


def test_servers_that_start_at_once_migrate_one_after_the_other(
    database: Database, database_url: str | None, tmp_path: Path
) -> None:
    failures: list[Exception] = []

    def start() -> None:
        own = Database(database_url or f"sqlite:///{tmp_path / 'a.db'}")
        try:
            own.migrate(MIGRATIONS)
        except Exception as why:  # noqa: BLE001 (a thread's failure must reach the test)
            failures.append(why)
        finally:
            own.close()

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert set(METADATA.tables) <= set(inspect(database.engine).get_table_names())


def test_a_migration_that_fails_leaves_the_database_as_it_was(database: Database) -> None:
    with database.write() as db:
        db.connection().execute(text("CREATE TABLE users (other INTEGER)"))
    with pytest.raises(Exception, match="users"):
        database.migrate(MIGRATIONS)
    assert inspect(database.engine).get_table_names() == ["users"]
