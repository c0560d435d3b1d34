"""One node for a whole module where starting a worker for each test would take most of the time."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from gridward.api.main import create_app
from gridward.server.keys import make
from gridward.server.settings import NodeSettings
from tests.support.files import publish
from tests.support.nodes import PASSWORD, NodeUnderTest

ROWS = 40


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeUnderTest]:
    """A node of bob's with one plan worker that lives as long as the module."""
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


@pytest.fixture(scope="module")
def births(ward: NodeUnderTest) -> dict[str, Any]:
    """Forty births: ana may read them, every account may compute on them."""
    drawn = np.random.default_rng(0)
    arrays = {"weight": drawn.normal(3.4, 0.5, ROWS), "height": drawn.normal(50.0, 2.0, ROWS)}
    arrays["smoker"] = np.arange(ROWS) < 3
    access = {"discover": ["@signed-in"], "compute": ["@signed-in"], "raw": ["ana"]}
    return publish(ward, ward.as_("bob"), arrays, name="births", access=access)
