"""One node for all tests of a module whose pages need a plan worker."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from gridward.api.main import create_app
from gridward.server.keys import make
from gridward.server.settings import NodeSettings
from tests.support.nodes import PASSWORD, NodeUnderTest


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeUnderTest]:
    """A node of bob's with one plan worker."""
    folder = tmp_path_factory.mktemp("ward")
    settings = NodeSettings(
        data_dir=folder / "node", password_memory_kib=1024, password_passes=1, plan_workers=1, plan_time_s=20
    )
    token = make(settings.data_dir)
    with TestClient(create_app(settings)) as client:
        found = NodeUnderTest(client, client.app.state.server, token)  # type: ignore[attr-defined]
        body = {"token": token, "username": "bob", "password": PASSWORD}
        assert client.post("/v1/setup", json=body).status_code == 201
        yield found
