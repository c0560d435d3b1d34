"""A node under test, with users of every role."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from fastapi.testclient import TestClient
from httpx2 import Response

from gridward.api.main import create_app
from gridward.api.node import Node
from gridward.server.ids import Clock, utc_now
from gridward.server.keys import make
from gridward.server.settings import NodeSettings
from tests.support import databases

PASSWORD: Final = "correct horse battery"


@dataclass
class NodeUnderTest:
    """A node with its owner `bob`; `as_` gives the headers of a user, made on first use with a role."""

    client: TestClient
    node: Node
    owner_token: str
    _headers: dict[str, dict[str, str]] = field(default_factory=dict)

    def as_(self, username: str, role: str = "data_scientist") -> dict[str, str]:
        if username not in self._headers:
            if username != "bob":
                body = {"username": username, "role": role, "password": PASSWORD}
                made = self.client.post("/v1/users", json=body, headers=self.as_("bob"))
                assert made.status_code == 201, made.text
            answer = self.sign_in(username)
            assert answer.status_code == 201, answer.text
            self._headers[username] = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        return self._headers[username]

    def sign_in(self, username: str, password: str = PASSWORD) -> Response:
        return self.client.post("/v1/sessions", json={"username": username, "password": password})


@contextmanager
def running_new_node(settings: NodeSettings, clock: Clock = utc_now) -> Iterator[NodeUnderTest]:
    """Run a node that nobody owns yet, in this process."""
    token = make(settings.data_dir)
    databases.put_sqlite(settings.url_of_database(), databases.NODE)
    with TestClient(create_app(settings, clock)) as client:
        yield NodeUnderTest(client, client.app.state.server, token)  # type: ignore[attr-defined]


@contextmanager
def running_node(settings: NodeSettings, clock: Clock = utc_now) -> Iterator[NodeUnderTest]:
    """Run a node whose owner is bob, in this process."""
    with running_new_node(settings, clock) as node:
        body = {"token": node.owner_token, "username": "bob", "password": PASSWORD}
        assert node.client.post("/v1/setup", json=body).status_code == 201
        yield node
