"""What tests of both services share: a database of their own, on every kind that is at hand."""

import os
import secrets
from collections.abc import Iterator

import pytest
from hypothesis import settings as hypothesis_settings
from sqlalchemy import create_engine, make_url, text

POSTGRES = os.environ.get("GRIDWARD_TEST_POSTGRES_URL")

hypothesis_settings.register_profile("gridward", deadline=None)
hypothesis_settings.load_profile("gridward")


@pytest.fixture(params=["sqlite", "postgres"] if POSTGRES else ["sqlite"])
def database_url(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """Give None for SQLite, or the URL of a fresh database where GRIDWARD_TEST_POSTGRES_URL is set."""
    if request.param == "sqlite":
        yield None
    else:
        yield from _fresh_postgres()


@pytest.fixture
def other_database_url(database_url: str | None) -> Iterator[str | None]:
    """Give None, or the URL of a second fresh database of the same kind."""
    if database_url is None:
        yield None
    else:
        yield from _fresh_postgres()


def _fresh_postgres() -> Iterator[str]:
    admin = create_engine(POSTGRES or "", isolation_level="AUTOCOMMIT")
    name = f"gridward_{secrets.token_hex(8)}"
    with admin.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    yield make_url(POSTGRES or "").set(database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
    admin.dispose()
