import asyncio
import threading
import time

import pytest

from gridward.api.parties.pipe import AcceptedSocket
from gridward.api.parties.switchboard import Switchboard
from gridward.core.errors import ConflictError, ProtocolError

LIMIT_BYTES = 1 << 20


def accepted() -> AcceptedSocket:
    return AcceptedSocket(asyncio.new_event_loop(), asyncio.Queue())


@pytest.fixture
def board() -> Switchboard:
    return Switchboard()


def test_a_claim_waits_for_its_peer(board: Switchboard) -> None:
    socket = accepted()
    timer = threading.Timer(0.1, board.offer, ("session", 1, socket))
    timer.start()
    assert board.claim("session", 1, 5.0, LIMIT_BYTES) is socket
    socket.loop.close()


def test_a_peer_that_does_not_come_is_named(board: Switchboard) -> None:
    began = time.monotonic()
    with pytest.raises(ProtocolError, match="party 3 did not join"):
        board.claim("session", 3, 0.05, LIMIT_BYTES)
    assert time.monotonic() - began < 2


def test_a_socket_is_claimed_once(board: Switchboard) -> None:
    socket = accepted()
    board.offer("session", 0, socket)
    assert board.claim("session", 0, 1.0, LIMIT_BYTES) is socket
    with pytest.raises(ProtocolError):
        board.claim("session", 0, 0.01, LIMIT_BYTES)
    socket.loop.close()


def test_a_peer_joins_a_session_once(board: Switchboard) -> None:
    socket = accepted()
    board.offer("session", 0, socket)
    with pytest.raises(ConflictError):
        board.offer("session", 0, socket)
    socket.loop.close()


def test_a_withdrawn_socket_is_not_handed_out(board: Switchboard) -> None:
    socket = accepted()
    board.offer("session", 0, socket)
    board.withdraw("session", 0, socket)
    with pytest.raises(ProtocolError):
        board.claim("session", 0, 0.01, LIMIT_BYTES)
    socket.loop.close()
