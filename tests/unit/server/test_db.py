import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import MetaData, text
from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from gridward.server.db import Database, UtcDateTime, lock


class _Table(SQLModel, registry=registry(metadata=MetaData())):
    pass


class Moment(_Table, table=True):
    id: int = Field(primary_key=True)
    at: datetime = Field(sa_type=UtcDateTime)


@pytest.fixture
def database(database_url: str | None, tmp_path: Path) -> Database:
    database = Database(database_url or f"sqlite:///{tmp_path / 'a.db'}", wait_s=5)
    with database.write() as db:
        _Table.metadata.create_all(db.connection())
    return database


def test_times_come_back_in_utc_and_naive_ones_are_refused(database: Database) -> None:
    paris = datetime(2026, 3, 1, 13, tzinfo=timezone(timedelta(hours=1)))
    with database.write() as db:
        db.add(Moment(id=1, at=paris))
    with database.read() as db:
        at = db.get_one(Moment, 1).at
    assert (at, at.tzinfo) == (datetime(2026, 3, 1, 12, tzinfo=UTC), UTC)
    with pytest.raises(StatementError, match="needs a zone"), database.write() as db:
        db.add(Moment(id=2, at=datetime(2026, 3, 1)))
        db.flush()
    database.close()


def test_a_block_that_raises_leaves_nothing_behind(database: Database) -> None:
    with pytest.raises(RuntimeError), database.write() as db:
        db.add(Moment(id=1, at=datetime.now(UTC)))
        db.flush()
        raise RuntimeError
    with database.read() as db:
        assert db.get(Moment, 1) is None
    database.close()


def test_a_reading_transaction_cannot_write_and_the_next_writer_can(database: Database) -> None:
    with pytest.raises(DBAPIError), database.read() as db:
        db.add(Moment(id=1, at=datetime.now(UTC)))
        db.flush()
    with database.write() as db:
        db.add(Moment(id=1, at=datetime.now(UTC)))
    with database.read() as db:
        assert db.get(Moment, 1) is not None
    database.close()


def test_writers_that_read_first_lose_no_update(database: Database) -> None:
    with database.write() as db:
        db.add(Moment(id=1, at=datetime(2026, 1, 1, tzinfo=UTC)))

    def add_a_second() -> None:
        for _ in range(10):
            with database.write() as db:
                lock(db, "moments")
                row = db.get_one(Moment, 1)
                row.at += timedelta(seconds=1)
                db.add(row)

    threads = [threading.Thread(target=add_a_second) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as db:
        assert db.get_one(Moment, 1).at == datetime(2026, 1, 1, 0, 0, 40, tzinfo=UTC)
    database.close()


def test_sqlite_is_durable_and_enforces_foreign_keys(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'a.db'}")
    with database.write() as db:
        found = {name: db.connection().scalar(text(f"PRAGMA {name}")) for name in _WANTED}
    assert found == _WANTED
    assert database.is_ready()
    database.close()


_WANTED = {"journal_mode": "wal", "foreign_keys": 1, "synchronous": 2}
