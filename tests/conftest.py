"""What tests of both services share: a database of their own, on every kind that is at hand."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings as hypothesis_settings

from tests.support.databases import Postgres

POSTGRES = os.environ.get("GRIDWARD_TEST_POSTGRES_URL")

hypothesis_settings.register_profile("gridward", deadline=None)
hypothesis_settings.load_profile("gridward")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres | None]:
    """The server for databases, if there is one."""
    if POSTGRES is None:
        yield None
        return
    server = Postgres(POSTGRES)
    yield server
    server.close()


@pytest.fixture
def migrations() -> str | None:
    """The folder of migrations that a database has behind it, or None for one without tables."""
    return None


@pytest.fixture(params=["sqlite", "postgres"] if POSTGRES else ["sqlite"])
def database_url(
    request: pytest.FixtureRequest, postgres: Postgres | None, migrations: str | None
) -> Iterator[str | None]:
    """Give None for SQLite, or the URL of a database without rows where GRIDWARD_TEST_POSTGRES_URL is set."""
    if request.param == "sqlite" or postgres is None:
        yield None
        return
    with postgres.lent(migrations) if migrations else postgres.fresh() as url:
        yield url


@pytest.fixture
def other_database_url(database_url: str | None, postgres: Postgres | None) -> Iterator[str | None]:
    """Give None, or the URL of a second database of the same kind, without tables."""
    if database_url is None or postgres is None:
        yield None
        return
    with postgres.fresh() as url:
        yield url
