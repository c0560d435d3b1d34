import threading
import time

import pytest

from gridward.api.lanes.lane import Lane
from gridward.api.lanes.switchboard import Switchboard
from gridward.core.errors import ConflictError, ProtocolError

MEETING = ("deployment", "session")


class SomeLane:
    def send(self, frame: bytes) -> None:
        raise AssertionError

    def receive(self, deadline: float, limit_bytes: int) -> bytes:
        raise AssertionError

    def release(self) -> None:
        raise AssertionError

    def close(self) -> None:
        raise AssertionError


@pytest.fixture
def board() -> Switchboard:
    return Switchboard()


@pytest.fixture
def lane() -> Lane:
    return SomeLane()


def test_a_claim_waits_for_its_peer(board: Switchboard, lane: Lane) -> None:
    timer = threading.Timer(0.1, board.offer, (MEETING, 1, lane))
    timer.start()
    assert board.claim(MEETING, 1, 5.0) is lane


def test_a_peer_that_does_not_come_is_named(board: Switchboard) -> None:
    began = time.monotonic()
    with pytest.raises(ProtocolError, match="party 3 did not join session session"):
        board.claim(MEETING, 3, 0.05)
    assert time.monotonic() - began < 2


def test_a_lane_is_claimed_once(board: Switchboard, lane: Lane) -> None:
    board.offer(MEETING, 0, lane)
    assert board.claim(MEETING, 0, 1.0) is lane
    with pytest.raises(ProtocolError):
        board.claim(MEETING, 0, 0.01)


def test_a_peer_joins_a_session_once(board: Switchboard, lane: Lane) -> None:
    board.offer(MEETING, 0, lane)
    with pytest.raises(ConflictError):
        board.offer(MEETING, 0, lane)


def test_sessions_of_two_deployments_are_two_meetings(board: Switchboard, lane: Lane) -> None:
    board.offer(("another deployment", "session"), 0, lane)
    with pytest.raises(ProtocolError):
        board.claim(MEETING, 0, 0.01)


def test_a_withdrawn_lane_is_not_handed_out_and_a_claimed_one_is_not_withdrawn(
    board: Switchboard, lane: Lane
) -> None:
    board.offer(MEETING, 0, lane)
    assert board.withdraw(MEETING, 0, lane)
    with pytest.raises(ProtocolError):
        board.claim(MEETING, 0, 0.01)
    board.offer(MEETING, 0, lane)
    board.claim(MEETING, 0, 1.0)
    assert not board.withdraw(MEETING, 0, lane)
