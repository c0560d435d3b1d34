"""Visits to a node by way of a provider: with a browser, and as a program that waits."""

import base64
import hashlib
import secrets
import time
from collections.abc import Callable
from typing import Any

import httpx2
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from sqlmodel import select

from gridward.api.tables.accounts import User
from gridward.server import totp
from tests.support.nodes import NodeUnderTest
from tests.support.oidc import (
    ProviderUnderTest,
    back,
    query,
)

HTML = {"Accept": "text/html"}


Made = Callable[..., NodeUnderTest]


def away(node: NodeUnderTest, **asked: str) -> str:
    """Begin, and return the provider's address."""
    answer = node.client.get("/sign-in/oidc", params=asked)
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


def came_back(node: NodeUnderTest, provider: ProviderUnderTest, subject: str, **asked: str) -> Any:
    """Begin, sign in there, and come back."""
    return node.client.get(back(provider.consent(away(node, **asked), subject)), headers=HTML)


def linked(node: NodeUnderTest, subject: str, username: str = "ana", role: str = "data_scientist") -> None:
    """An account that the owner linked to somebody at the provider."""
    node.as_(username, role)
    path = f"/v1/users/{username}/sign-in"
    answer = node.client.put(path, json={"subject": subject}, headers=node.as_("bob"))
    assert answer.status_code == 204, answer.text


class Program:
    """A program that waits for its ticket, without a browser."""

    def __init__(self, node: NodeUnderTest, provider: ProviderUnderTest) -> None:
        self.node, self.provider = node, provider
        self.verifier, self.state = secrets.token_urlsafe(48), secrets.token_urlsafe(32)

    def ticket(self, subject: str) -> str:
        digest = hashlib.sha256(self.verifier.encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        asked = {"port": "4242", "challenge": challenge, "state": self.state}
        answer = came_back(self.node, self.provider, subject, **asked)
        assert answer.status_code == 303, answer.text
        url = httpx2.URL(answer.headers["location"])
        assert (url.scheme, url.host, url.port, url.path) == ("http", "127.0.0.1", 4242, "/")
        assert query(str(url))["state"] == self.state
        return query(str(url))["ticket"]

    def exchange(self, ticket: str, **more: str) -> Any:
        body = {"ticket": ticket, "verifier": self.verifier} | more
        return self.node.client.post("/v1/sign-in/oidc", json=body)

    def sign_in(self, subject: str, **more: str) -> Any:
        return self.exchange(self.ticket(subject), **more)


def me(node: NodeUnderTest, session: Any) -> Any:
    headers = {"Authorization": f"Bearer {session.json()['access_token']}"}
    return node.client.get("/v1/users/me", headers=headers).json()


def described(node: NodeUnderTest, user: str) -> Any:
    return node.client.get(f"/v1/users/{user}", headers=node.as_("bob")).json()


def with_second_factor(node: NodeUnderTest, user: str) -> bytes:
    secret = totp.new_secret()
    with node.node.database.write() as db:
        row = db.exec(select(User).where(User.username == user)).one()
        row.totp_sealed, row.totp_active = totp.seal(node.node.keys, row.id, secret), True
        db.add(row)
    return secret


def next_code(secret: bytes) -> str:
    return TOTP(secret, 6, totp.SHA1(), 30).generate(int(time.time())).decode()
