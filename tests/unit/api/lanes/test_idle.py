import pytest

from gridward.api.lanes import idle
from gridward.api.lanes.idle import IDLE_LANES, IdleLanes, Peer
from gridward.api.lanes.lane import LaneKind


class SomeLane:
    kind = LaneKind.TLS

    def __init__(self) -> None:
        self.alive = True

    def begin(self, session: str) -> None:
        raise AssertionError

    def send(self, frame: bytes) -> None:
        raise AssertionError

    def receive(self, deadline: float, limit_bytes: int) -> bytes:
        raise AssertionError

    def release(self) -> None:
        raise AssertionError

    def close(self) -> None:
        self.alive = False


PEER = Peer("d" * 32, 1)


def test_a_few_lanes_wait_for_each_peer_and_those_that_ended_are_not_given() -> None:
    lanes = IdleLanes()
    made = [SomeLane() for _ in range(IDLE_LANES + 1)]
    for lane in made:
        lanes.put(PEER, lane)
    assert [lane.alive for lane in made] == [True] * IDLE_LANES + [False]
    made[IDLE_LANES - 1].alive = False
    assert lanes.take(PEER) is made[IDLE_LANES - 2]
    assert lanes.take(Peer("d" * 32, 2)) is None


def test_lanes_of_a_deployment_that_ended_are_closed_those_in_use_when_they_come_back() -> None:
    lanes, waiting, used = IdleLanes(), SomeLane(), SomeLane()
    lanes.put(PEER, waiting)
    lanes.forget(PEER.deployment_id)
    lanes.put(PEER, used)
    assert not waiting.alive
    assert not used.alive
    assert lanes.take(PEER) is None


def test_only_so_many_ended_deployments_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "ENDED", 3)
    lanes = IdleLanes()
    for number in range(10):
        lanes.forget(f"{number:032x}")
        lanes.forget(f"{number:032x}")
    assert list(lanes._ended) == [f"{number:032x}" for number in (7, 8, 9)]
