"""A node and a gateway, each behind a real socket: joining, heartbeats, the catalogue, failures."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from fastapi.testclient import TestClient

from gridward.api.main import create_app
from gridward.api.tables.memberships import Membership
from gridward.core.identity import read_sign_key
from gridward.gateway.main import create_app as create_gateway
from gridward.server import tokens
from gridward.server.keys import load, make
from gridward.server.settings import GatewaySettings, NodeSettings
from tests.support.files import publish
from tests.support.nodes import PASSWORD, NodeUnderTest
from tests.support.serving import served

ROWS = {"x": np.arange(12.0)}
OPEN = {"discover": ["@signed-in"]}


@dataclass
class GatewayAtUrl:
    """A gateway that answers at a URL, with its owner `olga`."""

    url: str
    client: httpx2.Client

    def approve(self, node_id: str, *, approved: bool = True) -> None:
        body = {"approved": approved, "owner": "Charity Hospital"}
        answer = self.client.post(f"/v1/nodes/{node_id}/approval", json=body)
        assert answer.status_code == 200, answer.text

    def hits(self) -> list[str]:
        return [hit["name"] for hit in self.client.get("/v1/search").json()["items"]]


@contextmanager
def gateway_at(folder: Path, url: str = "http://127.0.0.1:0") -> Iterator[GatewayAtUrl]:
    token = None if (folder / "keys").exists() else make(folder)
    settings = GatewaySettings(
        data_dir=folder,
        heartbeat_s=0.1,
        away_after_s=2,
        password_memory_kib=1024,
        password_passes=1,
    )
    port = int(url.rsplit(":", 1)[1])
    with (
        served(create_gateway(settings), port) as url,
        httpx2.Client(base_url=url, trust_env=False) as client,
    ):
        who = {"username": "olga", "password": PASSWORD}
        if token:
            assert client.post("/v1/setup", json=who | {"token": token}).status_code == 201
        access = client.post("/v1/sessions", json=who).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {access}"
        yield GatewayAtUrl(url, client)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayAtUrl]:
    with gateway_at(tmp_path / "gateway") as running:
        yield running


@pytest.fixture
def settings(settings: NodeSettings) -> NodeSettings:
    quick = {"heartbeat_retry_s": 0.05, "name": "hospital", "public_url": "http://127.0.0.1:7"}
    return settings.model_copy(update=quick)


def eventually(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not check():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


def memberships(node: NodeUnderTest) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = node.client.get("/v1/memberships", headers=node.as_("bob")).json()["items"]
    return items


def state(node: NodeUnderTest) -> str:
    return str(memberships(node)[0]["state"])


def join(node: NodeUnderTest, url: str) -> httpx2.Response:
    return node.client.post("/v1/memberships", json={"gateway_url": url}, headers=node.as_("bob"))


def joined(node: NodeUnderTest, gateway: GatewayAtUrl) -> None:
    assert join(node, gateway.url).status_code == 201
    gateway.approve(node.node.keys.id)
    eventually(lambda: state(node) == "joined")


def test_a_node_is_a_member_once_the_gateways_owner_says_so(
    node: NodeUnderTest, gateway: GatewayAtUrl
) -> None:
    said = join(node, gateway.url).json()
    assert (said["state"], said["gateway_name"]) == ("pending", "grid")
    time.sleep(0.3)
    assert state(node) == "pending"
    gateway.approve(node.node.keys.id)
    eventually(lambda: state(node) == "joined")
    with node.node.database.read() as db:
        row = db.get_one(Membership, said["gateway_id"])
    claims = tokens.read(
        tokens.Kind.ATTESTATION,
        row.attestation or "",
        read_sign_key(row.sign_key),
        issuer=row.gateway_id,
        audience=row.gateway_id,
        now=node.node.clock(),
    )
    assert (claims["sub"], claims["owner"]) == (node.node.keys.id, "Charity Hospital")
    assert claims["seal_key"] == node.node.keys.seal_key_text


def test_the_catalogue_follows_the_owners_word(node: NodeUnderTest, gateway: GatewayAtUrl) -> None:
    bob = node.as_("bob")
    first = publish(node, bob, ROWS, name="first", access=OPEN)
    publish(node, bob, ROWS, name="hidden", access={"raw": ["ana"]})
    joined(node, gateway)
    eventually(lambda: gateway.hits() == ["first"])
    second = publish(node, bob, ROWS, name="second", access=OPEN)
    eventually(lambda: gateway.hits() == ["first", "second"])
    node.client.patch(f"/v1/datasets/{first['id']}", json={"access": {}}, headers=bob)
    eventually(lambda: gateway.hits() == ["second"])
    node.client.delete(f"/v1/datasets/{second['id']}", headers=bob)
    eventually(lambda: gateway.hits() == [])


def test_an_identity_of_the_gateway_is_believed_by_its_member(
    node: NodeUnderTest, gateway: GatewayAtUrl
) -> None:
    publish(node, node.as_("bob"), ROWS, access=OPEN)
    joined(node, gateway)
    token = gateway.client.post("/v1/tokens", json={"audience": node.node.keys.id}).json()["token"]
    found = node.client.get("/v1/datasets", headers={"Authorization": f"Bearer {token}"}).json()
    assert [(item["name"], item["verbs"]) for item in found["items"]] == [
        ("births", ["discover", "describe"])
    ]


def test_a_member_that_is_put_out_no_longer_believes_the_gateway(
    node: NodeUnderTest, gateway: GatewayAtUrl
) -> None:
    joined(node, gateway)
    token = gateway.client.post("/v1/tokens", json={"audience": node.node.keys.id}).json()["token"]
    gateway.approve(node.node.keys.id, approved=False)
    eventually(lambda: state(node) == "refused")
    answer = node.client.get("/v1/datasets", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401


def test_membership_survives_a_restart_of_the_node(settings: NodeSettings, gateway: GatewayAtUrl) -> None:
    token = make(settings.data_dir)
    with TestClient(create_app(settings)) as client:
        node = NodeUnderTest(client, client.app.state.server, token)  # type: ignore[attr-defined]
        client.post("/v1/setup", json={"token": token, "username": "bob", "password": PASSWORD})
        publish(node, node.as_("bob"), ROWS, access=OPEN)
        joined(node, gateway)
        eventually(lambda: gateway.hits() == ["births"])
    eventually(lambda: gateway.hits() == [])
    with TestClient(create_app(settings)):
        eventually(lambda: gateway.hits() == ["births"])


def test_a_node_joins_the_gateway_of_its_settings_as_soon_as_that_one_is_there(
    settings: NodeSettings, tmp_path: Path
) -> None:
    with gateway_at(tmp_path / "gateway") as early:
        url = early.url
    make(settings.data_dir)
    app = create_app(settings.model_copy(update={"gateway_url": url}))
    with TestClient(app):
        time.sleep(0.2)
        with gateway_at(tmp_path / "gateway", url) as late:
            eventually(lambda: late.client.get("/v1/nodes").json()["total"] == 1)
            late.approve(app.state.server.keys.id)
            eventually(lambda: late.client.get("/v1/nodes/hospital").json()["state"] == "live")


def test_a_gateway_that_is_not_there_is_told_clearly(node: NodeUnderTest, tmp_path: Path) -> None:
    with gateway_at(tmp_path / "gateway") as gone:
        url = gone.url
    refused = join(node, url)
    assert (refused.status_code, refused.json()["code"]) == (424, "node_unreachable")
    assert url in refused.json()["detail"]
    assert memberships(node) == []


def test_a_server_that_is_no_gateway_is_refused(
    node: NodeUnderTest, settings: NodeSettings, tmp_path: Path
) -> None:
    other = settings.model_copy(update={"data_dir": tmp_path / "other", "database_url": None})
    make(other.data_dir)
    with served(create_app(other)) as url:
        assert join(node, url).status_code in (404, 424)
    assert memberships(node) == []


def test_two_gateways_of_one_name_are_refused_because_their_users_would_be_the_same(
    node: NodeUnderTest, gateway: GatewayAtUrl, tmp_path: Path
) -> None:
    joined(node, gateway)
    with gateway_at(tmp_path / "impostor") as impostor:
        refused = join(node, impostor.url)
        assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert [item["gateway_url"] for item in memberships(node)] == [gateway.url]


def test_an_outage_is_shown_to_the_owner_and_heals(node: NodeUnderTest, tmp_path: Path) -> None:
    publish(node, node.as_("bob"), ROWS, access=OPEN)
    with gateway_at(tmp_path / "gateway") as before:
        joined(node, before)
    eventually(lambda: "does not answer" in memberships(node)[0]["detail"])
    assert state(node) == "joined"
    with gateway_at(tmp_path / "gateway", before.url) as after:
        eventually(lambda: after.hits() == ["births"])
        eventually(lambda: memberships(node)[0]["detail"] == "")


def test_only_who_manages_the_server_joins_gateways(node: NodeUnderTest) -> None:
    for person, role in (("ana", "data_scientist"), ("eve", "admin")):
        headers = node.as_(person, role)
        body = {"gateway_url": "http://127.0.0.1:9"}
        assert node.client.post("/v1/memberships", json=body, headers=headers).status_code == 403
        assert node.client.get("/v1/memberships", headers=headers).status_code == 403


def test_another_key_cannot_join_as_this_node(
    node: NodeUnderTest, gateway: GatewayAtUrl, tmp_path: Path
) -> None:
    joined(node, gateway)
    make(tmp_path / "thief")
    thief = load(tmp_path / "thief")
    node_id = node.node.keys.id
    token = tokens.issue(
        tokens.Kind.REQUEST,
        thief.sign_key,
        issuer=node_id,
        subject=node_id,
        audience=memberships(node)[0]["gateway_id"],
        now=node.node.clock(),
        lifetime_s=60,
    )
    answer = gateway.client.put(
        f"/v1/nodes/{node_id}/catalogue",
        json={"entries": []},
        headers={"Authorization": f"Bearer {token}"},
    )
    assert answer.status_code == 401
