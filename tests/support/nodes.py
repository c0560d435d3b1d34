"""A node under test, with users of every role."""

from dataclasses import dataclass, field
from typing import Final

from fastapi.testclient import TestClient
from httpx2 import Response

from gridward.api.node import Node

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
