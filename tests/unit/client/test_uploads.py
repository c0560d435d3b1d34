import hashlib
from collections.abc import Callable
from uuid import uuid4

import httpx2
import pytest
import torch

from gridward.client.payload import Payload, pack
from gridward.client.transport import Retry, Transport
from gridward.client.uploads import upload
from gridward.core.errors import NodeUnreachableError, TrainingError

CHUNK = 100


class Uploads:
    """A node's upload routes; `break_at` lists the chunks (from 0) whose connection breaks half-way."""

    def __init__(self, break_at: set[int], *, known: bytes = b"") -> None:
        self.break_at = break_at
        self.content = known
        self.size = 0
        self.sha256 = ""
        self.chunks = 0
        self.id = str(uuid4())

    def state(self) -> dict[str, object]:
        complete = len(self.content) == self.size and hashlib.sha256(self.content).hexdigest() == self.sha256
        return {
            "id": self.id,
            "size_bytes": self.size,
            "received_bytes": len(self.content),
            "chunk_bytes": CHUNK,
            "complete": complete,
        }

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "POST":
            body = httpx2.Response(200, content=request.content).json()
            self.size, self.sha256 = body["size_bytes"], body["sha256"]
        elif request.method == "PATCH":
            assert int(request.headers["upload-offset"]) == len(self.content)
            assert len(request.content) <= CHUNK
            self.chunks += 1
            if self.chunks - 1 in self.break_at:
                self.content += request.content[: CHUNK // 2]
                raise httpx2.WriteError("broken pipe")
            self.content += request.content
        assert request.url.path in ("/v1/uploads", f"/v1/uploads/{self.id}")
        return httpx2.Response(200, json=self.state())

    def transport(self) -> Transport:
        http = httpx2.Client(transport=httpx2.MockTransport(self))
        return Transport("http://node.test", http=http, retry=Retry(attempts=2), sleep=lambda _: None)


def once_then_late(calls: int) -> Callable[[float], float]:
    """Time that is over after so many calls."""
    left = iter(range(calls))

    def limit(most_s: float) -> float:
        if next(left, None) is None:
            raise TrainingError("the round ended")
        return most_s

    return limit


def test_a_transfer_ends_with_the_time_that_it_has() -> None:
    node = Uploads(set())
    with pytest.raises(TrainingError, match="the round ended"):
        upload(node.transport(), payload(1000), "it", once_then_late(3))
    assert node.chunks == 2


def payload(size: int) -> Payload:
    return pack(torch.arange(size, dtype=torch.uint8))


@pytest.mark.parametrize("size", [1, 99, 1000])
def test_all_bytes_arrive_in_chunks_that_the_node_accepts(size: int) -> None:
    node, sent = Uploads(set()), payload(size)
    assert upload(node.transport(), sent, "x") == node.id
    assert node.content == sent.content


def test_an_upload_whose_connection_breaks_resumes_where_the_node_stands() -> None:
    node, sent = Uploads({0, 3, 5}), payload(1000)
    upload(node.transport(), sent, "x")
    assert node.content == sent.content


def test_an_upload_that_the_node_holds_in_part_sends_only_the_rest() -> None:
    sent = payload(1000)
    node = Uploads(set(), known=sent.read(0, 900))
    upload(node.transport(), sent, "x")
    assert node.content == sent.content
    assert node.chunks == -(-(sent.size_bytes - 900) // CHUNK)


def test_an_upload_that_makes_no_headway_gives_up() -> None:
    class Stuck(Uploads):
        def __call__(self, request: httpx2.Request) -> httpx2.Response:
            if request.method == "PATCH":
                raise httpx2.WriteError("broken pipe")
            return super().__call__(request)

    with pytest.raises(NodeUnreachableError, match="broken pipe"):
        upload(Stuck(set()).transport(), payload(1000), "x")


def test_a_node_that_has_all_bytes_but_never_finishes_is_not_asked_for_ever() -> None:
    node, sent = Uploads(set()), payload(10)
    node.content = bytes(sent.size_bytes)
    with pytest.raises(NodeUnreachableError, match="does not finish"):
        upload(node.transport(), sent, "x")
