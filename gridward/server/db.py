"""The database: SQLite in WAL mode or PostgreSQL, short transactions, migrations at start.

A request that writes holds one transaction from handler to answer (`WriteDb`). A service that computes for
long takes the `Database` itself and opens transactions around its reads and writes, so that the write lock
is never held while a plan runs or a password is hashed.
"""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, DateTime, Dialect, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.types import TypeDecorator
from sqlmodel import Session

_MIGRATION_LOCK: Final = 0x6772_6964
_WRITES: Final = "gridward_writes"


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC. SQLite forgets the zone; this gives it back."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive times, store UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a stored time needs a zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the time in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Database:
    """One engine and its two kinds of transactions."""

    def __init__(self, url: str, *, connections: int = 20, wait_s: float = 15) -> None:
        sqlite = make_url(url).get_backend_name() == "sqlite"
        options: dict[str, Any] = {"timeout": wait_s} if sqlite else {}
        self.engine: Engine = create_engine(
            url,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=wait_s,
            pool_pre_ping=not sqlite,
            connect_args=options,
        )
        if sqlite:
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        self._writer = self.engine.execution_options(**{_WRITES: True})
        self._reader = self.engine if sqlite else self.engine.execution_options(postgresql_readonly=True)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a transaction that cannot write; it ends with the block."""
        with Session(self._reader, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Open a transaction that commits when the block ends and rolls back if it raises.

        On SQLite it takes the write lock at its start, so it never fails half-way because another wrote.
        """
        with Session(self._writer, expire_on_commit=False) as session, session.begin():
            yield session

    def is_ready(self) -> bool:
        """Ask the database for one row."""
        with self.read() as session:
            return bool(session.connection().scalar(text("SELECT 1")) == 1)

    def migrate(self, scripts: str) -> None:
        """Bring the schema to the newest revision of the folder `scripts` ("package:folder").

        Two servers that start at once do it one after the other. A schema that is newer than this program
        is refused by Alembic with the revision that it does not know.
        """
        with self._writer.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            command.upgrade(migration_config(scripts, connection), "head")

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def migration_config(scripts: str, connection: Connection) -> Config:
    """Return Alembic's configuration without a file: the scripts' folder and an open connection."""
    config = Config()
    config.set_main_option("script_location", scripts)
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _prepare_sqlite(connection: Any, _record: object) -> None:  # noqa: ANN401 (DBAPI connection, untyped)
    # The driver's own transaction handling would begin late and silently; begin_sqlite does it instead.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "foreign_keys=ON", "synchronous=FULL", "temp_store=MEMORY"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = bool(connection.get_execution_options().get(_WRITES))
    connection.exec_driver_sql(f"PRAGMA query_only={'OFF' if writes else 'ON'}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def lock(db: Session, name: str) -> None:
    """Wait until no other write transaction holds the lock `name`; held until this one ends.

    On SQLite every write transaction excludes every other, so there is nothing to do.
    """
    if db.connection().dialect.name == "postgresql":
        key = zlib.crc32(name.encode())
        db.connection().execute(
            text("SELECT pg_advisory_xact_lock(:space, :key)"), {"space": 1, "key": key - 2**31}
        )
