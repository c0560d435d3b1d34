"""The schema: what migrations make is what the tables say, in a registry of its own."""

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from gridward.api.tables.all import METADATA as NODE_METADATA
from gridward.gateway.main import MIGRATIONS
from gridward.gateway.tables import METADATA
from tests.support.gateways import GatewayUnderTest


def test_migrations_make_the_tables(grid: GatewayUnderTest) -> None:
    with grid.gateway.database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []


def test_a_second_start_finds_the_schema_in_place(grid: GatewayUnderTest) -> None:
    grid.gateway.database.migrate(MIGRATIONS)
    assert grid.get("/v1/nodes").status_code == 200


@pytest.mark.parametrize("act", ["UPDATE audit_entries SET actor = 'nobody'", "DELETE FROM audit_entries"])
def test_the_audit_log_only_grows(grid: GatewayUnderTest, act: str) -> None:
    with (
        pytest.raises(DBAPIError, match="append-only"),
        grid.gateway.database.engine.execution_options(gridward_writes=True).begin() as connection,
    ):
        connection.execute(text(act))


def test_node_and_gateway_have_registries_of_their_own() -> None:
    assert METADATA is not NODE_METADATA
    shared = METADATA.tables.keys() & NODE_METADATA.tables.keys()
    assert "users" in shared
    assert all(METADATA.tables[name] is not NODE_METADATA.tables[name] for name in shared)
