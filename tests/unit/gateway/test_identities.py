"""Identity tokens: for one node, for minutes, and hard to forge."""

from datetime import UTC, datetime

import jwt
import pytest

from gridward.core.errors import NotSignedInError
from gridward.core.schemas.accounts import RoleName
from gridward.server import tokens
from tests.support.gateways import PASSWORD, GatewayUnderTest, SigningNode


@pytest.fixture
def hospital(grid: GatewayUnderTest) -> SigningNode:
    return grid.node("hospital")


def read(grid: GatewayUnderTest, token: str, audience: str, now: datetime | None = None) -> tokens.Claims:
    """Read it as a node does that pinned the gateway's key."""
    own = grid.gateway.keys
    return tokens.read(
        tokens.Kind.IDENTITY,
        token,
        own.sign_key.public_key(),
        issuer=own.id,
        audience=audience,
        now=now or grid.clock(),
    )


def test_a_token_names_its_user_for_one_node_for_five_minutes(
    grid: GatewayUnderTest, hospital: SigningNode
) -> None:
    answer = grid.post("/v1/tokens", {"audience": hospital.keys.id})
    assert answer.status_code == 201
    assert answer.json()["expires_in_s"] == 300
    token = answer.json()["token"]
    claims = read(grid, token, hospital.keys.id)
    assert claims["sub"] == "dana"
    assert not {"role", "capabilities", "scope"} & set(claims)
    with pytest.raises(NotSignedInError):
        read(grid, token, grid.node("other").keys.id)
    grid.clock.forward(300 + tokens.LEEWAY_S)
    with pytest.raises(NotSignedInError):
        read(grid, token, hospital.keys.id)


def test_no_two_tokens_are_the_same(grid: GatewayUnderTest, hospital: SigningNode) -> None:
    made = {grid.post("/v1/tokens", {"audience": hospital.keys.id}).json()["token"] for _ in range(3)}
    assert len(made) == 3


def test_only_members_are_an_audience(grid: GatewayUnderTest, hospital: SigningNode) -> None:
    waiting = grid.node("waiting", member=False)
    for audience in (waiting.keys.id, "a" * 26, grid.gateway.keys.id):
        assert grid.post("/v1/tokens", {"audience": audience}).status_code == 404
    grid.approve(hospital, "Charity", approved=False)
    assert grid.post("/v1/tokens", {"audience": hospital.keys.id}).status_code == 404
    assert grid.post("/v1/tokens", {"audience": "hospital' OR 1=1"}).status_code == 422


def test_nobody_names_themselves(grid: GatewayUnderTest, hospital: SigningNode) -> None:
    body = {"audience": hospital.keys.id}
    assert grid.client.post("/v1/tokens", json=body).status_code == 401
    assert grid.post("/v1/tokens", body | {"sub": "olga", "username": "olga"}).status_code == 422


def test_a_signed_out_user_gets_no_token(grid: GatewayUnderTest, hospital: SigningNode) -> None:
    headers = grid.as_("dana")
    assert grid.client.delete("/v1/sessions/current", headers=headers).status_code == 204
    assert grid.post("/v1/tokens", {"audience": hospital.keys.id}).status_code == 401


@pytest.mark.parametrize("algorithm", ["none", "HS256", "EdDSA"])
def test_a_forged_identity_is_none(grid: GatewayUnderTest, hospital: SigningNode, algorithm: str) -> None:
    genuine = grid.post("/v1/tokens", {"audience": hospital.keys.id}).json()["token"]
    claims = dict(read(grid, genuine, hospital.keys.id)) | {"sub": "olga"}
    public = grid.gateway.keys.sign_key.public_key().public_bytes_raw()
    key = {"none": None, "HS256": public, "EdDSA": hospital.keys.sign_key}[algorithm]
    forged = jwt.encode(claims, key, algorithm, headers={"typ": tokens.Kind.IDENTITY.value})
    with pytest.raises(NotSignedInError):
        read(grid, forged, hospital.keys.id)


def test_the_gateways_other_tokens_are_no_identities(grid: GatewayUnderTest, hospital: SigningNode) -> None:
    attestation = hospital.beat().json()["attestation"]
    access = grid.as_("dana")["Authorization"].removeprefix("Bearer ")
    for token in (attestation, access):
        for audience in (hospital.keys.id, grid.gateway.keys.id):
            with pytest.raises(NotSignedInError):
                read(grid, token, audience)


def test_an_identity_opens_nothing_at_the_gateway(grid: GatewayUnderTest, hospital: SigningNode) -> None:
    token = grid.post("/v1/tokens", {"audience": hospital.keys.id}, "olga").json()["token"]
    headers = {"Authorization": f"Bearer {token}"}
    for path in ("/v1/search", "/v1/nodes", "/v1/users", "/v1/users/me", "/v1/models/x"):
        assert grid.client.get(path, headers=headers).status_code == 401


def test_a_forged_session_of_the_gateway_is_none(grid: GatewayUnderTest) -> None:
    genuine = grid.as_("dana")["Authorization"].removeprefix("Bearer ")
    claims = jwt.decode(genuine, options={"verify_signature": False}) | {"sub": "olga"}
    public = grid.gateway.keys.sign_key.public_key().public_bytes_raw()
    typ = {"typ": tokens.Kind.ACCESS.value}
    for token in (
        jwt.encode(claims, None, "none", headers=typ),
        jwt.encode(claims, public, "HS256", headers=typ),
        jwt.encode(claims, grid.gateway.keys.sign_key, "EdDSA", headers=typ),
        jwt.encode(claims, grid.gateway.keys.token_secret, "HS256", headers=typ),
    ):
        answer = grid.client.get("/v1/users", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401


def test_times_in_tokens_are_those_of_the_gateways_clock(
    grid: GatewayUnderTest, hospital: SigningNode
) -> None:
    token = grid.post("/v1/tokens", {"audience": hospital.keys.id}).json()["token"]
    issued = datetime.fromtimestamp(read(grid, token, hospital.keys.id)["iat"], UTC)
    assert issued == grid.clock.now


def test_a_programs_token_gets_no_identity_which_would_be_the_whole_user(
    grid: GatewayUnderTest, hospital: SigningNode
) -> None:
    body = {
        "password": PASSWORD,
        "name": "nightly",
        "scopes": ["approve_nodes"],
        "lifetime_s": 3600,
    }
    token = grid.post("/v1/service-tokens", body, "olga").json()["token"]
    headers = {"Authorization": f"Bearer {token}"}
    assert grid.client.get("/v1/nodes", headers=headers).status_code == 200
    asked = grid.client.post("/v1/tokens", json={"audience": hospital.keys.id}, headers=headers)
    assert asked.status_code == 403


def test_who_lacks_a_needed_second_factor_gets_no_identity(
    grid: GatewayUnderTest, hospital: SigningNode
) -> None:
    grid.as_("dana")
    grid.gateway.settings.second_factor_roles = frozenset({RoleName.DATA_SCIENTIST})
    assert grid.post("/v1/tokens", {"audience": hospital.keys.id}).status_code == 403
    assert grid.get("/v1/nodes").status_code == 403
    assert grid.get("/v1/users/me").status_code == 200
