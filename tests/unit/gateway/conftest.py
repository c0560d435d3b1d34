"""A real gateway over a real database; over PostgreSQL too where GRIDWARD_TEST_POSTGRES_URL names one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from gridward.gateway.main import create_app
from gridward.server.keys import make
from gridward.server.settings import GatewaySettings
from tests.support import databases
from tests.support.gateways import GRID, PASSWORD, GatewayUnderTest, MovingClock


@pytest.fixture
def migrations() -> str:
    return databases.GATEWAY


@pytest.fixture
def settings(tmp_path: Path, database_url: str | None) -> GatewaySettings:
    return GatewaySettings(
        name=GRID,
        data_dir=tmp_path / "gateway",
        database_url=database_url,
        password_memory_kib=1024,
        password_passes=1,
        joins_waiting=5,
        joins_per_address=12,
        catalogue_pushes=8,
        catalogue_max_bytes=200_000,
        catalogue_max_terms=2_000,
    )


@pytest.fixture
def fresh(settings: GatewaySettings) -> Iterator[GatewayUnderTest]:
    """A gateway that nobody owns yet."""
    token = make(settings.data_dir)
    databases.put_sqlite(settings.url_of_database(), databases.GATEWAY)
    clock = MovingClock()
    with TestClient(create_app(settings, clock)) as client:
        yield GatewayUnderTest(client, client.app.state.server, token, clock)  # type: ignore[attr-defined]


@pytest.fixture
def grid(fresh: GatewayUnderTest) -> GatewayUnderTest:
    """A gateway whose owner is olga."""
    body = {"token": fresh.owner_token, "username": "olga", "password": PASSWORD}
    assert fresh.client.post("/v1/setup", json=body).status_code == 201
    return fresh
