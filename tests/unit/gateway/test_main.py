"""The app as a whole: start, stop, and a node beside it in the same process."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import numpy as np
import pytest
from fastapi.testclient import TestClient

from gridward.api.main import create_app as create_node
from gridward.core.errors import ConflictError, InvalidInputError
from gridward.gateway.main import create_app, open_gateway
from gridward.server import keys
from gridward.server.ids import utc_now
from gridward.server.settings import GatewaySettings, NodeSettings
from tests.support.files import publish
from tests.support.gateways import PASSWORD, GatewayUnderTest, MovingClock
from tests.support.nodes import NodeUnderTest
from tests.support.serving import served


def await_true(condition: Callable[[], bool], what: str) -> None:
    for _ in range(200):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come about within 10 s")


def test_without_keys_it_does_not_start(settings: GatewaySettings) -> None:
    with pytest.raises(InvalidInputError, match="gridward init"), TestClient(create_app(settings)):
        pass


def test_two_gateways_do_not_share_a_folder(grid: GatewayUnderTest, settings: GatewaySettings) -> None:
    with pytest.raises(ConflictError, match="another server"):
        open_gateway(settings, utc_now)


def test_members_and_catalogues_survive_a_restart(settings: GatewaySettings, tmp_path: Path) -> None:
    token = keys.make(settings.data_dir)
    clock = MovingClock()
    with TestClient(create_app(settings, clock)) as client:
        first = GatewayUnderTest(client, client.app.state.server, token, clock)  # type: ignore[attr-defined]
        body = {"token": token, "username": "olga", "password": PASSWORD}
        assert client.post("/v1/setup", json=body).status_code == 201
        hospital = first.node("hospital", owner="Charity")
        hospital.publish({"kind": "dataset", "id": "d", "name": "births", "discover": ["@signed-in"]})
    with TestClient(create_app(settings, clock)) as client:
        second = GatewayUnderTest(client, client.app.state.server, token, clock)  # type: ignore[attr-defined]
        hospital.grid = second
        assert client.post("/v1/setup", json=body).status_code == 403
        assert second.search() == ["births"]
        assert hospital.beat().json()["state"] == "live"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[NodeUnderTest]:
    """A node of bob's."""
    chosen = NodeSettings(
        name="hospital", data_dir=tmp_path / "node", password_memory_kib=1024, password_passes=1
    )
    token = keys.make(chosen.data_dir)
    with TestClient(create_node(chosen)) as client:
        made = NodeUnderTest(client, client.app.state.server, token)  # type: ignore[attr-defined]
        body = {"token": token, "username": "bob", "password": PASSWORD}
        assert client.post("/v1/setup", json=body).status_code == 201
        yield made


@pytest.fixture
def beside(tmp_path: Path) -> Iterator[tuple[GatewayUnderTest, str]]:
    """A gateway on a real socket, and its URL."""
    chosen = GatewaySettings(
        data_dir=tmp_path / "gateway",
        password_memory_kib=1024,
        password_passes=1,
        heartbeat_s=0.1,
        away_after_s=1.0,
    )
    token = keys.make(chosen.data_dir)
    app = create_app(chosen)
    with served(app) as url, httpx2.Client(base_url=url, trust_env=False) as client:
        made = GatewayUnderTest(client, app.state.server, token, MovingClock())
        body = {"token": token, "username": "olga", "password": PASSWORD}
        assert client.post("/v1/setup", json=body).status_code == 201
        yield made, url


def test_a_node_in_the_same_process_joins_is_found_and_trusts_the_gateways_word(
    beside: tuple[GatewayUnderTest, str], node: NodeUnderTest
) -> None:
    grid, url = beside
    arrays = {"weight": np.array([3.5, 3.7, 3.9, 4.1, 4.1])}
    access = {"discover": ["dana@grid"], "compute": ["@signed-in"]}
    publish(node, node.as_("bob"), arrays, name="births", tags=["#ward"], access=access)
    publish(node, node.as_("bob"), arrays, name="hidden", tags=["#ward"], access={"discover": ["eve@grid"]})
    joined = node.client.post("/v1/memberships", json={"gateway_url": url}, headers=node.as_("bob"))
    assert joined.json()["state"] == "pending"
    node_id = node.node.keys.id
    approval = grid.post(f"/v1/nodes/{node_id}/approval", {"owner": "Charity"}, "olga")
    assert approval.status_code == 200
    await_true(lambda: grid.search(tag="#ward") == ["births"], "the node's catalogue")

    token = grid.post("/v1/tokens", {"audience": node_id}).json()["token"]
    as_dana = {"Authorization": f"Bearer {token}"}
    found = node.client.get("/v1/datasets", headers=as_dana).json()
    assert [(item["name"], item["verbs"]) for item in found["items"]] == [
        ("births", ["discover", "describe"])
    ]
    assert node.client.get("/v1/users", headers=as_dana).status_code == 403
    olga = grid.post("/v1/tokens", {"audience": node_id}, "olga").json()["token"]
    as_olga = {"Authorization": f"Bearer {olga}"}
    assert node.client.get("/v1/datasets", headers=as_olga).json()["total"] == 0

    grid.gateway.settings.away_after_s = 0.0
    assert grid.search(tag="#ward") == []
    grid.gateway.settings.away_after_s = 1.0
    await_true(lambda: grid.search(tag="#ward") == ["births"], "the node's return")
