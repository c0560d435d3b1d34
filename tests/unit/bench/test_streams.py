import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from gridward.bench.streams import LENGTH, StreamTransport, socket_mesh
from gridward.core.smpc.link import Transport
from tests.unit.core.smpc.link_contract import LinkContract, closing


class TestSocketMesh(LinkContract):
    def connect(self, parties: int) -> Sequence[Transport]:
        return meshed(parties)


def meshed(parties: int) -> list[StreamTransport]:
    return [StreamTransport(sockets) for sockets in socket_mesh(parties)]


@contextmanager
def streams(parties: int) -> Iterator[list[StreamTransport]]:
    mesh = meshed(parties)
    with closing(mesh):
        yield mesh


def test_what_the_sockets_took_is_counted_with_the_lengths() -> None:
    with streams(2) as (left, right):
        left.send(1, bytes(1000))
        left.send(1, b"")
        assert right.receive(0, time.monotonic() + 5) == bytes(1000)
        assert (left.written_bytes, right.written_bytes) == (1000 + 2 * LENGTH.size, 0)


def test_frames_larger_than_any_buffer_cross_among_three() -> None:
    payload = bytes(1 << 24)

    with streams(3) as mesh:

        def exchange(party: int) -> list[int]:
            peers = [peer for peer in range(3) if peer != party]
            for peer in peers:
                mesh[party].send(peer, payload)
            return [len(mesh[party].receive(peer, time.monotonic() + 30)) for peer in peers]

        with ThreadPoolExecutor(3) as pool:
            assert list(pool.map(exchange, range(3))) == [[len(payload)] * 2] * 3


def test_a_peer_that_reads_nothing_ends_the_wait_at_the_deadline() -> None:
    with streams(2) as (left, right):
        right.send(0, b"short")
        left.send(1, bytes(1 << 25))
        with pytest.raises(TimeoutError):
            left.receive(1, time.monotonic() + 0.2)
