import hashlib
from collections.abc import Iterator

import httpx2
import pytest
import torch

from gridward.client.downloads import fetch_tensors
from gridward.client.payload import pack_tensors
from gridward.client.transport import Retry, Transport
from gridward.core.errors import NodeUnreachableError, TooLargeError, TrainingError

SENT = {"weight": torch.arange(4000, dtype=torch.float32), "count": torch.tensor(3)}


class Files:
    """Gives out one file by range; `cuts` says after how many bytes each answer breaks, -1: never."""

    def __init__(self, content: bytes, cuts: list[int], *, etag: str | None = None) -> None:
        self.content = content
        self.cuts = cuts
        self.etag = etag if etag is not None else f'"{hashlib.sha256(content).hexdigest()}"'
        self.sent = 0
        self.asked: list[str] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request.headers.get("range", ""))
        kept = request.headers.get("if-range") == self.etag
        start = int(request.headers["range"][len("bytes=") : -1]) if kept else 0
        cut = self.cuts.pop(0)
        return httpx2.Response(
            206 if kept else 200, headers={"etag": self.etag}, content=self._stream(self.content[start:], cut)
        )

    def _stream(self, left: bytes, cut: int) -> Iterator[bytes]:
        whole = left if cut < 0 else left[:cut]
        self.sent += len(whole)
        yield whole
        if cut >= 0:
            raise httpx2.ReadError("connection reset")

    def transport(self) -> Transport:
        http = httpx2.Client(transport=httpx2.MockTransport(self))
        return Transport("http://node.test", http=http, retry=Retry(attempts=1), sleep=lambda _: None)


def packed(tensors: dict[str, torch.Tensor] = SENT) -> bytes:
    content = pack_tensors(tensors).content
    assert isinstance(content, bytes)
    return content


def test_tensors_arrive_as_they_were_sent() -> None:
    found = fetch_tensors(Files(packed(), [-1]).transport(), "/v1/x/content")
    assert found.keys() == SENT.keys()
    assert all(torch.equal(found[name], value) for name, value in SENT.items())


def test_a_file_whose_connection_breaks_is_continued_where_it_was_cut() -> None:
    node = Files(packed(), [5000, 7000, -1])
    found = fetch_tensors(node.transport(), "/v1/x/content")
    assert torch.equal(found["weight"], SENT["weight"])
    assert node.asked == ["", "bytes=5000-", "bytes=12000-"]
    assert node.sent == len(node.content)


def test_a_file_that_is_another_one_by_now_is_taken_from_its_start() -> None:
    node = Files(packed(), [5000, -1])
    other = Files(packed({"weight": SENT["weight"] + 1}), [-1])
    answers = iter([node, other])
    http = httpx2.Client(transport=httpx2.MockTransport(lambda request: next(answers)(request)))
    found = fetch_tensors(
        Transport("http://node.test", http=http, retry=Retry(attempts=1), sleep=lambda _: None), "/x"
    )
    assert torch.equal(found["weight"], SENT["weight"] + 1)


def test_three_attempts_that_bring_nothing_are_enough() -> None:
    node = Files(packed(), [5000, 0, 0, 0])
    with pytest.raises(NodeUnreachableError, match="did not send all"):
        fetch_tensors(node.transport(), "/v1/x/content")
    assert not node.cuts


@pytest.mark.parametrize("etag", ["", '"0000"'])
def test_bytes_without_the_hash_that_was_announced_are_not_taken(etag: str) -> None:
    with pytest.raises(NodeUnreachableError, match="other bytes"):
        fetch_tensors(Files(packed(), [-1], etag=etag).transport(), "/v1/x/content")


def test_what_is_no_safetensors_file_is_named() -> None:
    with pytest.raises(NodeUnreachableError, match="readable"):
        fetch_tensors(Files(b"not a file", [-1]).transport(), "/v1/x/content")


def test_a_file_larger_than_announced_is_not_taken_to_its_end() -> None:
    size = len(packed())
    assert fetch_tensors(Files(packed(), [-1]).transport(), "/x", size_bytes=size).keys() == SENT.keys()
    with pytest.raises(TooLargeError, match=f"more than the {size - 1} bytes"):
        fetch_tensors(Files(packed(), [-1]).transport(), "/x", size_bytes=size - 1)


def test_a_file_that_comes_too_slowly_is_left() -> None:
    left = iter([30.0, 30.0, 30.0])

    def limit(most_s: float) -> float:
        found = next(left, None)
        if found is None:
            raise TrainingError("the round ended")
        return min(most_s, found)

    node = Files(packed(), [5000, 7000, -1])
    with pytest.raises(TrainingError, match="the round ended"):
        fetch_tensors(node.transport(), "/x", limit=limit)
    assert len(node.asked) == 2
