"""What happens to accounts: invitations, devices that show codes, tokens of programs."""

from base64 import b32decode
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from sqlmodel import select

from gridward.api.tables.accounts import AuditEntry
from tests.support.gateways import MovingClock
from tests.support.nodes import PASSWORD, NodeUnderTest

NEW = "a new and better password"


def code(answer: Any) -> str:
    return str(answer.json()["code"])


def call(node: NodeUnderTest, method: str, path: str, user: str = "bob", **body: Any) -> Any:
    return node.client.request(method, f"/v1{path}", json=body or None, headers=node.as_(user))


def acts(node: NodeUnderTest) -> list[tuple[str, str, str]]:
    with node.node.database.read() as db:
        return [(row.actor, row.action, row.subject) for row in db.exec(select(AuditEntry)).all()]


def invited(node: NodeUnderTest, username: str = "ana", **more: Any) -> str:
    body = {"username": username, "role": "data_scientist", "invited": True}
    assert call(node, "POST", "/users", **body | more).status_code == 201
    made = call(node, "POST", f"/users/{username}/invitation")
    assert made.status_code == 201, made.text
    return str(made.json()["token"])


def accepted(node: NodeUnderTest, token: str, password: str = NEW) -> Any:
    return node.client.post("/v1/invitations", json={"token": token, "password": password})


class Device:
    """An authenticator app."""

    def __init__(self, address: str, clock: MovingClock) -> None:
        secret = parse_qs(urlsplit(address).query)["secret"][0]
        self._totp = TOTP(b32decode(secret + "=" * (-len(secret) % 8)), 6, SHA1(), 30)
        self._clock = clock

    def code(self) -> str:
        return self._totp.generate(int(self._clock().timestamp())).decode()


def enrolled(node: NodeUnderTest, clock: MovingClock, user: str = "bob") -> tuple[Device, list[str]]:
    begun = call(node, "POST", "/users/me/second-factor", user, password=PASSWORD)
    assert begun.status_code == 201, begun.text
    device = Device(begun.json()["address"], clock)
    confirmed = call(node, "PUT", "/users/me/second-factor", user, code=device.code())
    assert confirmed.status_code == 200, confirmed.text
    clock.forward(30)
    return device, confirmed.json()["codes"]


def sign_in(node: NodeUnderTest, user: str, **more: str) -> Any:
    body = {"username": user, "password": PASSWORD} | more
    return node.client.post("/v1/sessions", json=body)


def token_of(node: NodeUnderTest, user: str, *scopes: str, lifetime_s: int = 3600) -> str:
    body = {"password": PASSWORD, "name": "nightly", "scopes": list(scopes), "lifetime_s": lifetime_s}
    made = call(node, "POST", "/service-tokens", user, **body)
    assert made.status_code == 201, made.text
    return str(made.json()["token"])


def with_token(node: NodeUnderTest, token: str, method: str, path: str, **body: Any) -> Any:
    headers = {"Authorization": f"Bearer {token}"}
    return node.client.request(method, f"/v1{path}", json=body or None, headers=headers)
