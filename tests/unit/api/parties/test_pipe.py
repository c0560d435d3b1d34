import asyncio
import socket
import threading
import time
from collections.abc import Iterator, Sequence

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from gridward.api.parties.accept import carry
from gridward.api.parties.pipe import (
    EARLY_BYTES,
    LENGTH,
    MESSAGE_BYTES,
    AcceptedSocket,
    DialledSocket,
    Socket,
    SocketTransport,
)
from gridward.api.parties.switchboard import Switchboard
from gridward.core.smpc.link import Transport
from tests.unit.core.smpc.link_contract import LinkContract

LIMIT_BYTES = 1 << 23
UNCLAIMED_S = 1.0


class Exchange:
    """A real server that hands every accepted WebSocket to a switchboard, by the two parties' numbers."""

    def __init__(self) -> None:
        self.switchboard = Switchboard()
        self.meetings = 0
        app = Starlette(routes=[WebSocketRoute("/{meeting}/{party}", self._accept)])
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"ws://127.0.0.1:{self._listener.getsockname()[1]}"
        config = uvicorn.Config(app, log_config=None, ws="websockets-sansio", lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._listener],))
        self._thread.start()

    async def _accept(self, ws: WebSocket) -> None:
        ours = AcceptedSocket(asyncio.get_running_loop(), asyncio.Queue())
        self.switchboard.offer(ws.path_params["meeting"], int(ws.path_params["party"]), ours)
        await ws.accept()
        await carry(ws, ours, UNCLAIMED_S)
        ours.lost()

    def pair(self, limit_bytes: int = 4 * LIMIT_BYTES) -> tuple[Socket, Socket]:
        self.meetings += 1
        dialled = DialledSocket(f"{self.url}/{self.meetings}/0", "token", 5.0)
        return dialled, self.switchboard.claim(str(self.meetings), 0, 5.0, limit_bytes)

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._listener.close()


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    running = Exchange()
    yield running
    running.close()


class TestWebSocketTransport(LinkContract):
    @pytest.fixture(autouse=True)
    def _served(self, exchange: Exchange) -> None:
        self.exchange = exchange

    def connect(self, parties: int) -> Sequence[Transport]:
        sockets: list[dict[int, Socket]] = [{} for _ in range(parties)]
        for low in range(parties):
            for high in range(low + 1, parties):
                sockets[low][high], sockets[high][low] = self.exchange.pair()
        return [SocketTransport(mine, LIMIT_BYTES) for mine in sockets]


def test_an_announced_frame_above_the_limit_is_refused_before_it_is_kept(exchange: Exchange) -> None:
    dialled, accepted = exchange.pair()
    dialled.send(LENGTH.pack(1 << 60) + bytes(8))
    with pytest.raises(OSError, match="at most 64 are due"):
        SocketTransport({0: accepted}, 64).receive(0, time.monotonic() + 5)
    dialled.close()


def test_a_frame_with_more_bytes_than_it_announced_is_refused(exchange: Exchange) -> None:
    dialled, accepted = exchange.pair()
    dialled.send(LENGTH.pack(3) + bytes(8))
    with pytest.raises(OSError, match="sent 8 bytes in a frame of 3"):
        SocketTransport({0: accepted}, 64).receive(0, time.monotonic() + 5)
    dialled.close()


def test_a_message_without_a_length_is_refused(exchange: Exchange) -> None:
    dialled, accepted = exchange.pair()
    accepted.send(b"abc")
    with pytest.raises(OSError, match="fewer bytes than its length takes"):
        SocketTransport({1: dialled}, 64).receive(1, time.monotonic() + 5)
    dialled.close()


def test_a_trickled_frame_does_not_outlive_its_deadline(exchange: Exchange) -> None:
    dialled, accepted = exchange.pair()
    dialled.send(LENGTH.pack(2 * MESSAGE_BYTES) + bytes(10))
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        SocketTransport({0: accepted}, LIMIT_BYTES).receive(0, began + 0.3)
    assert time.monotonic() - began < 3
    dialled.close()


def test_messages_that_never_stop_do_not_outlive_the_deadline(exchange: Exchange) -> None:
    class Dripping:
        def send(self, message: bytes) -> None:
            raise AssertionError

        def receive(self, timeout_s: float) -> bytes:
            return next(self.messages)

        def close(self) -> None:
            raise AssertionError

        def __init__(self) -> None:
            self.messages = iter([LENGTH.pack(9), *[b""] * 10**6])

    with pytest.raises(TimeoutError):
        SocketTransport({0: Dripping()}, 64).receive(0, time.monotonic() + 0.05)


def test_a_peer_that_sends_more_than_its_due_is_cut_off(exchange: Exchange) -> None:
    dialled, accepted = exchange.pair(limit_bytes=3 * MESSAGE_BYTES)
    with pytest.raises(OSError, match="closed"):
        for _ in range(1000):
            dialled.send(bytes(MESSAGE_BYTES))
    received = 0
    with pytest.raises(OSError, match="closed"):
        while True:
            received += len(accepted.receive(5.0))
    assert received == 3 * MESSAGE_BYTES
    dialled.close()


def test_a_socket_that_nobody_claims_is_read_a_little_and_closed_in_time(exchange: Exchange) -> None:
    dialled = DialledSocket(f"{exchange.url}/unclaimed/0", "token", 5.0)
    began = time.monotonic()
    with pytest.raises(OSError, match="closed"):
        for _ in range(1000):
            dialled.send(bytes(MESSAGE_BYTES))
    assert time.monotonic() - began < 20
    held = exchange.switchboard.claim("unclaimed", 0, 1.0, LIMIT_BYTES)
    assert isinstance(held, AcceptedSocket)
    assert (held.inbox.qsize() - 1) * MESSAGE_BYTES <= EARLY_BYTES  # the last says that it was lost
    dialled.close()
