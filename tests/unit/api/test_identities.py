"""Identities of gateways on a node: told of things, and nothing more, until somebody admits them."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlmodel import select

from gridward.api.tables.accounts import User
from gridward.api.tables.memberships import Membership
from gridward.server import tokens
from gridward.server.keys import Keys, load, make
from tests.support.files import publish
from tests.support.nodes import PASSWORD, NodeUnderTest

ROWS = {"x": np.arange(12.0)}
EVERYTHING = {
    verb: ["@signed-in"] for verb in ("discover", "compute", "raw", "train", "export_model", "approve")
}


def gateway_keys(folder: Path) -> Keys:
    make(folder)
    return load(folder)


@pytest.fixture
def gateway(node: NodeUnderTest, tmp_path: Path) -> Keys:
    """Keys of a gateway named `grid` that the node has joined."""
    keys = gateway_keys(tmp_path / "gateway")
    join(node, keys)
    return keys


def join(node: NodeUnderTest, keys: Keys, name: str = "grid", state: str = "joined") -> None:
    row = Membership(
        gateway_id=keys.id,
        gateway_name=name,
        gateway_url="http://127.0.0.1:9",
        sign_key=keys.sign_key_text,
        state=state,
        created_at=datetime.now(UTC),
    )
    with node.node.database.write() as db:
        db.add(row)


def identity(node: NodeUnderTest, keys: Keys, **changed: Any) -> dict[str, str]:
    said: dict[str, Any] = {
        "issuer": keys.id,
        "subject": "dana",
        "audience": node.node.keys.id,
        "now": datetime.now(UTC),
        "lifetime_s": 300,
    }
    key = changed.pop("key", keys.sign_key)
    kind = changed.pop("kind", tokens.Kind.IDENTITY)
    return {"Authorization": f"Bearer {tokens.issue(kind, key, **(said | changed))}"}


def found(node: NodeUnderTest, headers: dict[str, str]) -> list[dict[str, Any]]:
    answer = node.client.get("/v1/datasets", headers=headers)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def test_a_stranger_finds_what_everyone_may_find_and_has_no_other_verb(
    node: NodeUnderTest, gateway: Keys
) -> None:
    publish(node, node.as_("bob"), ROWS, name="open", access=EVERYTHING)
    publish(node, node.as_("bob"), ROWS, name="named", access={"discover": ["dana@grid"]})
    publish(
        node, node.as_("bob"), ROWS, name="others", access={"discover": ["dana", "eve@grid", "role:guest"]}
    )
    publish(node, node.as_("bob"), ROWS, name="computable", access={"compute": ["@signed-in", "dana@grid"]})
    items = found(node, identity(node, gateway))
    assert {item["name"]: item["verbs"] for item in items} == {
        "open": ["discover", "describe"],
        "named": ["discover", "describe"],
    }


def test_a_stranger_can_do_nothing(node: NodeUnderTest, gateway: Keys) -> None:
    headers = identity(node, gateway)
    upload = {"size_bytes": 1, "sha256": "0" * 64, "media_type": "text/csv"}
    user = {"username": "mallory", "role": "guest", "password": PASSWORD}
    for method, path, body in (
        ("POST", "/v1/uploads", upload),
        ("POST", "/v1/users", user),
        ("GET", "/v1/users", None),
        ("POST", "/v1/memberships", {"gateway_url": "http://127.0.0.1:9"}),
        ("PUT", "/v1/users/me/password", {"old_password": PASSWORD, "new_password": PASSWORD}),
    ):
        answer = node.client.request(method, path, json=body, headers=headers)
        assert answer.status_code in (401, 403), (path, answer.text)
    assert node.client.get("/v1/users/me", headers=headers).json()["code"] == "object_not_found"
    assert node.client.get("/v1/sessions", headers=headers).json()["items"] == []


def test_an_admitted_identity_has_its_role_and_its_full_name_only(node: NodeUnderTest, gateway: Keys) -> None:
    body = {"username": "dana@grid", "role": "data_scientist"}
    assert node.client.post("/v1/users", json=body, headers=node.as_("bob")).status_code == 201
    publish(node, node.as_("bob"), ROWS, name="open", access=EVERYTHING)
    publish(node, node.as_("bob"), ROWS, name="role", access={"train": ["role:data_scientist"]})
    publish(node, node.as_("bob"), ROWS, name="plain", access={"raw": ["dana"]})
    publish(node, node.as_("bob"), ROWS, name="full", access={"raw": ["dana@grid"]})
    items = found(node, identity(node, gateway))
    assert {item["name"]: item["verbs"][2:] for item in items} == {
        "open": ["compute", "raw", "train", "export_model", "approve"],
        "role": ["train"],
        "full": ["raw"],
    }
    assert node.client.get("/v1/users/me", headers=identity(node, gateway)).json()["username"] == "dana@grid"


def test_a_local_account_is_not_the_identity_of_the_same_name(node: NodeUnderTest, gateway: Keys) -> None:
    publish(node, node.as_("bob"), ROWS, access={"raw": ["bob@grid"]})
    assert found(node, identity(node, gateway, subject="eve")) == []
    publish(node, node.as_("bob"), ROWS, name="bobs", access={"raw": ["bob"]})
    assert [item["name"] for item in found(node, identity(node, gateway, subject="bob"))] == []


def test_a_disabled_identity_is_out(node: NodeUnderTest, gateway: Keys) -> None:
    bob = node.as_("bob")
    node.client.post("/v1/users", json={"username": "dana@grid"}, headers=bob)
    node.client.patch("/v1/users/dana@grid", json={"disabled": True}, headers=bob)
    assert node.client.get("/v1/datasets", headers=identity(node, gateway)).status_code == 401


def test_an_identity_cannot_sign_in_with_a_password(node: NodeUnderTest, gateway: Keys) -> None:
    node.client.post("/v1/users", json={"username": "dana@grid"}, headers=node.as_("bob"))
    for password in ("", "None", "null", PASSWORD):
        assert node.sign_in("dana@grid", password).json()["code"] == "wrong_credentials"


def test_a_forged_gateway_identity_is_refused(node: NodeUnderTest, gateway: Keys, tmp_path: Path) -> None:
    stranger = gateway_keys(tmp_path / "stranger")
    forgeries = {
        "another key under the gateway's id": identity(node, gateway, key=stranger.sign_key),
        "a gateway that the node did not join": identity(node, stranger),
        "for another node": identity(node, gateway, audience=stranger.id),
        "expired": identity(node, gateway, lifetime_s=-60),
        "an attestation": identity(node, gateway, kind=tokens.Kind.ATTESTATION),
        "a signed request": identity(node, gateway, kind=tokens.Kind.REQUEST),
        "the gateway's public key as a secret": identity(
            node,
            gateway,
            kind=tokens.Kind.ACCESS,
            key=gateway.sign_key.public_key().public_bytes_raw(),
        ),
        "the node as its own gateway": identity(node, node.node.keys),
    }
    for what, headers in forgeries.items():
        answer = node.client.get("/v1/datasets", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in"), what


@pytest.mark.parametrize("state", ["pending", "refused"])
def test_a_gateway_that_did_not_take_the_node_in_signs_nobody_in(
    node: NodeUnderTest, tmp_path: Path, state: str
) -> None:
    keys = gateway_keys(tmp_path / "gateway")
    join(node, keys, state=state)
    assert node.client.get("/v1/datasets", headers=identity(node, keys)).status_code == 401


@pytest.mark.parametrize(
    "subject", ["dana@grid", "Dana", "", "role:owner", "@signed-in", "dana@other", "a b"]
)
def test_a_subject_that_is_no_user_name_is_refused(node: NodeUnderTest, gateway: Keys, subject: str) -> None:
    answer = node.client.get("/v1/datasets", headers=identity(node, gateway, subject=subject))
    assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in")


def test_strangers_leave_no_rows_behind(node: NodeUnderTest, gateway: Keys) -> None:
    found(node, identity(node, gateway))
    with node.node.database.read() as db:
        assert [row.username for row in db.exec(select(User)).all()] == ["bob"]


def test_large_bodies_are_for_callers_whose_token_is_genuine(
    node: NodeUnderTest, gateway: Keys, tmp_path: Path
) -> None:
    large = b"x" * (2**16 + 1)

    def status(headers: dict[str, str], content: bytes = large) -> int:
        return node.client.post("/v1/computations", content=content, headers=headers).status_code

    stranger = gateway_keys(tmp_path / "stranger")
    assert status({"Authorization": "Bearer x"}) == 401
    assert status(identity(node, gateway, key=stranger.sign_key)) == 401
    assert status(identity(node, stranger, kind=tokens.Kind.GRANT)) == 401
    assert status(identity(node, gateway)) == 413  # genuine, but admitted nowhere
    proposal = identity(node, stranger, kind=tokens.Kind.REQUEST)
    assert (status(proposal), status(proposal, b"x" * (4 * 2**20 + 1))) == (401, 413)  # read, not read
