"""Signed calls of this node to its peers in a deployment: provider, parties, host, gateway."""

from collections.abc import Generator
from dataclasses import dataclass

import httpx2
from pydantic import ValidationError

from gridward.core.errors import ERRORS, GridError, NodeUnreachableError
from gridward.core.schemas.problem import Problem
from gridward.server.ids import Clock
from gridward.server.keys import Keys
from gridward.server.signing import sign_request


@dataclass(frozen=True, slots=True)
class Peer:
    """Where a peer is and which id its answers are expected of."""

    id: str
    name: str
    url: str


@dataclass(frozen=True, slots=True)
class Calls:
    """An HTTP client that signs each request for its receiver and turns problems back into refusals."""

    keys: Keys
    client: httpx2.Client
    clock: Clock

    def send(self, peer: Peer, method: str, path: str, body: bytes = b"", *, timeout_s: float) -> bytes:
        """Send one signed request and return the body of the answer.

        Raises ``NodeUnreachableError`` naming the peer, or the refusal that the peer answered with.
        """
        return b"".join(self.stream(peer, method, path, body, timeout_s=timeout_s))

    def stream(
        self, peer: Peer, method: str, path: str, body: bytes = b"", *, timeout_s: float
    ) -> Generator[bytes]:
        """Send one signed request and give the body of the answer as it comes; raises as ``send``.

        ``timeout_s`` bounds each wait. Whoever stops before the end closes the iterator.
        """
        token = sign_request(self.keys, peer.id, body, target=f"{method} {path}", clock=self.clock)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        url = peer.url.rstrip("/") + path
        try:
            with self.client.stream(method, url, content=body, headers=headers, timeout=timeout_s) as answer:
                if not answer.is_success:
                    answer.read()
                    raise _refusal(peer, answer)
                yield from answer.iter_bytes()
        except httpx2.HTTPError as why:
            raise NodeUnreachableError(f"{peer.name} does not answer at {peer.url}: {why}") from why


def _refusal(peer: Peer, answer: httpx2.Response) -> GridError:
    try:
        problem = Problem.model_validate_json(answer.content)
    except ValidationError:
        return NodeUnreachableError(f"{peer.name} answered {answer.status_code} without saying why")
    return ERRORS[problem.code](f"{peer.name}: {problem.detail}")
