"""Who may speak as a node: forged, borrowed, replayed and stale signatures."""

import asyncio
import json
from collections.abc import MutableMapping
from datetime import timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi.testclient import TestClient
from httpx2 import Response
from starlette.types import ASGIApp

from gridward.server import tokens
from gridward.server.signing import sign_request
from tests.support.gateways import GatewayUnderTest, SigningNode, entry

BODY = {
    "url": "http://hospital.test:5001",
    "offers_party": True,
    "offers_provider": False,
    "catalogue_digest": "0" * 64,
}
CONTENT = json.dumps(BODY).encode()


@pytest.fixture
def hospital(grid: GatewayUnderTest) -> SigningNode:
    return grid.node("hospital")


def app_of(grid: GatewayUnderTest) -> ASGIApp:
    assert isinstance(grid.client, TestClient)
    return grid.client.app


def path_of(node: SigningNode) -> str:
    return f"/v1/nodes/{node.keys.id}/heartbeats"


def claims_of(node: SigningNode, content: bytes = CONTENT) -> dict[str, Any]:
    token = node.sign("POST", path_of(node), content)
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def beat_with(node: SigningNode, token: str, content: bytes = CONTENT) -> Response:
    return node.raw("POST", path_of(node), content, token)


def test_a_signed_heartbeat_is_heard(hospital: SigningNode) -> None:
    assert beat_with(hospital, hospital.sign("POST", path_of(hospital), CONTENT)).status_code == 200


def test_a_heartbeat_counts_once(hospital: SigningNode) -> None:
    token = hospital.sign("POST", path_of(hospital), CONTENT)
    assert beat_with(hospital, token).status_code == 200
    replayed = beat_with(hospital, token)
    assert replayed.status_code == 401
    assert "used before" in replayed.json()["detail"]


def test_another_nodes_key_does_not_speak_for_this_one(grid: GatewayUnderTest, hospital: SigningNode) -> None:
    other = grid.node("other")
    honest_signature = other.sign("POST", path_of(hospital), CONTENT)
    assert beat_with(hospital, honest_signature).status_code == 403
    claims = claims_of(hospital)
    forged = jwt.encode(claims, other.keys.sign_key, "EdDSA", headers={"typ": tokens.Kind.REQUEST.value})
    assert beat_with(hospital, forged).status_code == 401


def test_a_node_pushes_no_catalogue_for_another(grid: GatewayUnderTest, hospital: SigningNode) -> None:
    other = grid.node("other")
    path = f"/v1/nodes/{hospital.keys.id}/catalogue"
    refused = other.send("PUT", path, {"entries": [entry("planted")]})
    assert (refused.status_code, refused.json()["code"]) == (403, "not_authorized")
    assert grid.search() == []


def test_the_signature_covers_the_body(hospital: SigningNode) -> None:
    token = hospital.sign("POST", path_of(hospital), CONTENT)
    assert beat_with(hospital, token, CONTENT.replace(b"5001", b"6666")).status_code == 401


def test_the_signature_covers_the_route(hospital: SigningNode) -> None:
    token = hospital.sign("POST", "/v1/nodes", CONTENT)
    assert beat_with(hospital, token).status_code == 401


def test_a_call_signed_for_another_gateway_is_worth_nothing(hospital: SigningNode) -> None:
    clock = hospital.grid.clock
    token = sign_request(hospital.keys, "b" * 26, CONTENT, target=f"POST {path_of(hospital)}", clock=clock)
    assert beat_with(hospital, token).status_code == 401


@pytest.mark.parametrize("seconds", [-120, 120])
def test_a_stale_or_future_call_is_refused(hospital: SigningNode, seconds: float) -> None:
    clock = hospital.grid.clock
    clock.forward(seconds)
    token = hospital.sign("POST", path_of(hospital), CONTENT)
    clock.forward(-seconds)
    assert beat_with(hospital, token).status_code == 401


def test_a_long_lived_call_is_refused(hospital: SigningNode) -> None:
    claims = claims_of(hospital)
    claims["exp"] += 3600
    token = jwt.encode(claims, hospital.keys.sign_key, "EdDSA", headers={"typ": tokens.Kind.REQUEST.value})
    assert beat_with(hospital, token).status_code == 401


def test_a_call_without_an_end_is_refused(hospital: SigningNode) -> None:
    claims = claims_of(hospital)
    del claims["exp"]
    token = jwt.encode(claims, hospital.keys.sign_key, "EdDSA", headers={"typ": tokens.Kind.REQUEST.value})
    assert beat_with(hospital, token).status_code == 401


def test_what_strangers_make_the_gateway_remember_is_short(hospital: SigningNode) -> None:
    claims = claims_of(hospital) | {"jti": "x" * 5000}
    token = jwt.encode(claims, hospital.keys.sign_key, "EdDSA", headers={"typ": tokens.Kind.REQUEST.value})
    assert beat_with(hospital, token).status_code == 401


def test_algorithm_none_is_refused(hospital: SigningNode) -> None:
    token = jwt.encode(claims_of(hospital), None, "none", headers={"typ": tokens.Kind.REQUEST.value})
    assert beat_with(hospital, token).status_code == 401


def test_the_public_key_is_no_shared_secret(hospital: SigningNode) -> None:
    public = hospital.keys.sign_key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    for secret in (public, hospital.keys.sign_key_text):
        token = jwt.encode(claims_of(hospital), secret, "HS256", headers={"typ": tokens.Kind.REQUEST.value})
        assert beat_with(hospital, token).status_code == 401


def test_a_token_of_another_kind_by_the_same_key_is_no_call(hospital: SigningNode) -> None:
    claims = claims_of(hospital)
    for kind in set(tokens.Kind) - {tokens.Kind.REQUEST}:
        token = jwt.encode(claims, hospital.keys.sign_key, "EdDSA", headers={"typ": kind.value})
        assert beat_with(hospital, token).status_code == 401


def test_a_user_does_not_speak_as_a_node_nor_a_node_as_a_user(
    grid: GatewayUnderTest, hospital: SigningNode
) -> None:
    as_user = grid.client.post(path_of(hospital), json=BODY, headers=grid.as_("olga"))
    assert as_user.status_code == 401
    for method, path, body in (
        ("GET", "/v1/search", None),
        ("GET", "/v1/users", None),
        ("POST", "/v1/tokens", {"audience": hospital.keys.id}),
        ("POST", f"/v1/nodes/{hospital.keys.id}/approval", {"owner": "me"}),
    ):
        assert hospital.send(method, path, body).status_code == 401


def test_a_stranger_is_refused_before_its_body_is_read(grid: GatewayUnderTest) -> None:
    stranger = SigningNode(grid, "stranger")
    path = f"/v1/nodes/{stranger.keys.id}/catalogue"
    token = stranger.sign("PUT", path, b"")
    scope = {
        "type": "http",
        "method": "PUT",
        "path": path,
        "query_string": b"",
        "headers": [(b"authorization", f"Bearer {token}".encode()), (b"content-length", b"100000")],
    }
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        raise AssertionError("the body of a stranger was read")

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    asyncio.run(app_of(grid)(scope, receive, send))
    assert sent[0]["status"] == 404


@pytest.mark.parametrize("issuer", ["", "x\x00", "a" * 5000, "' OR 1=1 --"])
def test_an_issuer_that_is_no_id_reaches_no_database(hospital: SigningNode, issuer: str) -> None:
    claims = claims_of(hospital) | {"iss": issuer}
    token = jwt.encode(claims, hospital.keys.sign_key, "EdDSA", headers={"typ": tokens.Kind.REQUEST.value})
    assert beat_with(hospital, token).status_code == 401


def test_a_members_catalogue_signed_a_day_ago_does_not_come_back(
    grid: GatewayUnderTest, hospital: SigningNode
) -> None:
    content = json.dumps({"entries": [entry("withdrawn")]}).encode()
    path = f"/v1/nodes/{hospital.keys.id}/catalogue"
    token = hospital.sign("PUT", path, content)
    assert hospital.raw("PUT", path, content, token).status_code == 204
    hospital.publish()
    grid.clock.now += timedelta(days=1)
    assert hospital.raw("PUT", path, content, token).status_code == 401
