"""A gateway under test, a clock to move, and nodes that sign."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from httpx2 import Client, Response

from gridward.core.identity import encode_key, id_of
from gridward.gateway.state import Gateway
from gridward.server.keys import Keys
from gridward.server.signing import sign_request

PASSWORD: Final = "correct horse battery"
GRID: Final = "grid"


class MovingClock:
    """A clock that stands until it is told to move."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class GatewayUnderTest:
    """A gateway with its owner `olga`; `as_` gives the headers of a user, made on first use with a role."""

    client: Client
    gateway: Gateway
    owner_token: str
    clock: MovingClock
    _headers: dict[str, dict[str, str]] = field(default_factory=dict)

    def as_(self, username: str, role: str = "data_scientist") -> dict[str, str]:
        if username not in self._headers:
            if username != "olga":
                body = {"username": username, "role": role, "password": PASSWORD}
                made = self.client.post("/v1/users", json=body, headers=self.as_("olga"))
                assert made.status_code == 201, made.text
            answer = self.client.post("/v1/sessions", json={"username": username, "password": PASSWORD})
            assert answer.status_code == 201, answer.text
            self._headers[username] = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        return self._headers[username]

    def get(self, path: str, user: str = "dana", **params: Any) -> Response:
        return self.client.get(path, params=params, headers=self.as_(user))

    def post(self, path: str, body: object, user: str = "dana") -> Response:
        return self.client.post(path, json=body, headers=self.as_(user))

    def search(self, user: str = "dana", **params: Any) -> list[str]:
        """Return the names found, and check that the total counts no more than can be paged to."""
        answer = self.get("/v1/search", user, limit=100, **params)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert page["total"] == len(page["items"])
        return [hit["name"] for hit in page["items"]]

    def node(self, name: str, *, member: bool = True, owner: str = "", **says: object) -> "SigningNode":
        """Make a node that asked to join and, if `member`, was approved under `owner` (its name if empty)."""
        node = SigningNode(self, name, says=dict(says))
        answer = node.join()
        assert answer.status_code == 202, answer.text
        if member:
            assert self.approve(node, owner or name).status_code == 200
        return node

    def approve(
        self, node: "SigningNode", owner: str, *, user: str = "olga", approved: bool = True
    ) -> Response:
        return self.post(f"/v1/nodes/{node.keys.id}/approval", {"owner": owner, "approved": approved}, user)


def fresh_keys() -> Keys:
    signing = Ed25519PrivateKey.generate()
    node_id = id_of(encode_key(signing.public_key().public_bytes_raw()))
    return Keys(node_id, signing, X25519PrivateKey.generate(), bytes(32), bytes(32))


@dataclass
class SigningNode:
    """A node's side of the conversation, with real keys."""

    grid: GatewayUnderTest
    name: str
    keys: Keys = field(default_factory=fresh_keys)
    says: dict[str, object] = field(default_factory=dict)

    def join(self, **changes: object) -> Response:
        body = {
            "name": self.name,
            "url": f"http://{self.name}.test:5001",
            "sign_key": self.keys.sign_key_text,
            "seal_key": self.keys.seal_key_text,
            "offers_party": False,
            "offers_provider": False,
        }
        return self.send("POST", "/v1/nodes", body | self.says | changes)

    def beat(self, digest: str = "0" * 64, **changes: object) -> Response:
        body = {
            "url": f"http://{self.name}.test:5001",
            "offers_party": False,
            "offers_provider": False,
            "catalogue_digest": digest,
        }
        return self.send("POST", f"/v1/nodes/{self.keys.id}/heartbeats", body | self.says | changes)

    def push(self, *entries: dict[str, object]) -> Response:
        return self.send("PUT", f"/v1/nodes/{self.keys.id}/catalogue", {"entries": list(entries)})

    def publish(self, *entries: dict[str, object]) -> None:
        answer = self.push(*entries)
        assert answer.status_code == 204, answer.text

    def send(self, method: str, path: str, body: object | None = None) -> Response:
        content = b"" if body is None else json.dumps(body).encode()
        token = self.sign(method, path, content)
        return self.raw(method, path, content, token)

    def sign(self, method: str, path: str, content: bytes) -> str:
        return sign_request(
            self.keys, self.grid.gateway.keys.id, content, target=f"{method} {path}", clock=self.grid.clock
        )

    def raw(self, method: str, path: str, content: bytes, token: str) -> Response:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        return self.grid.client.request(method, path, content=content, headers=headers)


def entry(name: str, kind: str = "dataset", **changes: object) -> dict[str, object]:
    """Return a catalogue entry that every signed-in user may discover."""
    base: dict[str, object] = {"kind": kind, "id": name, "name": name, "discover": ["@signed-in"]}
    return base | changes
