"""A real node over a real database; over PostgreSQL too where GRIDWARD_TEST_POSTGRES_URL names one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gridward.server.settings import NodeSettings
from tests.support import databases
from tests.support.nodes import PASSWORD, NodeUnderTest, running_new_node, running_node


@pytest.fixture
def migrations() -> str:
    return databases.NODE


@pytest.fixture
def settings(tmp_path: Path, database_url: str | None) -> NodeSettings:
    return NodeSettings(
        data_dir=tmp_path / "node",
        database_url=database_url,
        password_memory_kib=1024,
        password_passes=1,
    )


@pytest.fixture
def fresh(settings: NodeSettings) -> Iterator[NodeUnderTest]:
    """A node that nobody owns yet."""
    with running_new_node(settings) as node:
        yield node


@pytest.fixture
def node(fresh: NodeUnderTest) -> NodeUnderTest:
    """A node whose owner is bob."""
    body = {"token": fresh.owner_token, "username": "bob", "password": PASSWORD}
    assert fresh.client.post("/v1/setup", json=body).status_code == 201
    return fresh


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeUnderTest]:
    """A node of bob's for a module: starting a plan worker takes most of a test's time."""
    folder = tmp_path_factory.mktemp("ward")
    settings = NodeSettings(
        data_dir=folder / "node", password_memory_kib=1024, password_passes=1, plan_workers=1, plan_time_s=20
    )
    with running_node(settings) as found:
        yield found
