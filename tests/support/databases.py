"""Databases for tests, copied or emptied, since migrating a new one takes longer than most tests."""

import itertools
import secrets
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from sqlalchemy import Engine, create_engine, make_url, text

from gridward.server.db import Database

NODE: Final = "gridward.api:migrations"
GATEWAY: Final = "gridward.gateway:migrations"

_END_OTHERS: Final = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
_TABLES: Final = """
    SELECT quote_ident(tablename) FROM pg_tables
    WHERE schemaname = 'public' AND tablename <> 'alembic_version'
"""
_SHAPE: Final = """
    SELECT md5(string_agg(line, ';' ORDER BY line)) FROM (
        SELECT concat_ws(' ', attrelid::regclass, attname, atttypid, attnotnull) FROM pg_attribute
        WHERE attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
        UNION ALL SELECT concat_ws(' ', tgrelid::regclass, tgname, tgenabled) FROM pg_trigger
            WHERE NOT tgisinternal
        UNION ALL SELECT concat_ws(' ', conrelid::regclass, conname) FROM pg_constraint
        UNION ALL SELECT version_num FROM alembic_version
    ) AS lines (line)
"""


@dataclass(frozen=True, slots=True)
class Lent:
    """A migrated database, and what its schema was then."""

    url: str
    shape: str


@dataclass(frozen=True, slots=True)
class Postgres:
    """A server, and its databases that wait for a next test, by the folder of their migrations."""

    url: str
    waiting: dict[str, list[Lent]] = field(default_factory=lambda: defaultdict(list))

    @contextmanager
    def lent(self, migrations: str) -> Iterator[str]:
        """Give the URL of a migrated database without rows; it is emptied afterwards."""
        waiting = self.waiting[migrations]
        lent = waiting.pop() if waiting else self._migrated(migrations)
        yield lent.url
        if _is_emptied(lent):
            waiting.append(lent)
        else:
            self._drop(lent.url)

    @contextmanager
    def fresh(self) -> Iterator[str]:
        """Give the URL of a database without tables; it is dropped afterwards."""
        url = self._created()
        yield url
        self._drop(url)

    def close(self) -> None:
        """Drop what waits."""
        for lent in itertools.chain(*self.waiting.values()):
            self._drop(lent.url)

    def _migrated(self, migrations: str) -> Lent:
        database = Database(url := self._created())
        database.migrate(migrations)
        shape = _shape(database.engine)
        database.close()
        return Lent(url, shape)

    def _created(self) -> str:
        name = f"gridward_{secrets.token_hex(8)}"
        self._administer(f'CREATE DATABASE "{name}"')
        return make_url(self.url).set(database=name).render_as_string(hide_password=False)

    def _drop(self, url: str) -> None:
        self._administer(f'DROP DATABASE "{make_url(url).database}" WITH (FORCE)')

    def _administer(self, statement: str) -> None:
        engine = create_engine(self.url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(statement))
        engine.dispose()


def put_sqlite(url: str, migrations: str) -> None:
    """Put a migrated database at the place of a file that does not exist yet; any other URL is left alone."""
    place = make_url(url)
    if place.get_backend_name() == "sqlite" and place.database and not Path(place.database).exists():
        Path(place.database).write_bytes(_sqlite_bytes(migrations))


@cache
def _sqlite_bytes(migrations: str) -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "template.db"
        database = Database(f"sqlite:///{path}")
        database.migrate(migrations)
        database.close()
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        return path.read_bytes()


def _is_emptied(lent: Lent) -> bool:
    """Take all rows out; says whether the schema is what it was: some tests take a trigger away."""
    engine = create_engine(lent.url)
    with engine.begin() as connection:
        connection.execute(text(_END_OTHERS))  # what a test left connected would hold locks for ever
        connection.execute(text("SET LOCAL session_replication_role = replica"))  # the audit log refuses
        tables = connection.scalars(text(_TABLES)).all()
        connection.execute(text("; ".join(f"DELETE FROM {table}" for table in tables)))
    same = _shape(engine) == lent.shape
    engine.dispose()
    return same


def _shape(engine: Engine) -> str:
    with engine.connect() as connection:
        return str(connection.scalar(text(_SHAPE)))
