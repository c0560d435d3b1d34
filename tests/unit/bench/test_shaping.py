from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from gridward.bench.shaping import CONDITIONS, Conditions, ShapedTransport
from gridward.core.smpc.link import Transport, local_mesh
from tests.unit.core.smpc.link_contract import LinkContract

SLOW = Conditions(delay_s=0.5, bits_per_s=8000)
"""A thousand bytes take a second to leave, and half a second more to arrive."""


@dataclass
class FakeTime:
    """A clock that only sleeping moves."""

    now_s: float = 100.0
    slept: list[float] = field(default_factory=list)

    def clock(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds


def shaped(time: FakeTime, parties: int = 2) -> list[ShapedTransport]:
    return [ShapedTransport(transport, SLOW, time.clock, time.sleep) for transport in local_mesh(parties)]


class TestShapedMesh(LinkContract):
    def connect(self, parties: int) -> Sequence[Transport]:
        fast = Conditions(delay_s=0.001, bits_per_s=10e9)
        return [ShapedTransport(transport, fast) for transport in local_mesh(parties)]


def test_a_frame_takes_its_length_over_the_rate_and_the_delay() -> None:
    time = FakeTime()
    left, right = shaped(time)
    left.send(1, bytes(1000))
    assert right.receive(0, 200.0) == bytes(1000)
    assert time.slept == [pytest.approx(1.5)]


def test_frames_leave_one_after_another_and_share_the_delay() -> None:
    time = FakeTime()
    left, right = shaped(time)
    for _ in range(3):
        left.send(1, bytes(1000))
    arrivals = []
    for _ in range(3):
        right.receive(0, 200.0)
        arrivals.append(time.now_s)
    assert arrivals == [pytest.approx(at) for at in (101.5, 102.5, 103.5)]


def test_all_peers_share_a_senders_rate() -> None:
    time = FakeTime()
    first, second, third = shaped(time, 3)
    first.send(1, bytes(1000))
    first.send(2, bytes(1000))
    second.receive(0, 200.0)
    assert time.now_s == pytest.approx(101.5)
    third.receive(0, 200.0)
    assert time.now_s == pytest.approx(102.5)


def test_a_rate_that_was_not_used_is_not_saved_up() -> None:
    time = FakeTime()
    left, right = shaped(time)
    left.send(1, bytes(1000))
    time.now_s = 150.0
    left.send(1, bytes(1000))
    right.receive(0, 200.0)
    assert time.slept == []
    right.receive(0, 200.0)
    assert time.now_s == pytest.approx(151.5)


def test_a_frame_that_arrives_after_the_deadline_is_too_late() -> None:
    time = FakeTime()
    left, right = shaped(time)
    left.send(1, bytes(1000))
    with pytest.raises(TimeoutError):
        right.receive(0, 101.0)
    assert time.now_s == pytest.approx(101.0)


def test_both_directions_travel_at_the_same_time() -> None:
    time = FakeTime()
    left, right = shaped(time)
    left.send(1, bytes(1000))
    right.send(0, bytes(1000))
    left.receive(1, 200.0)
    right.receive(0, 200.0)
    assert time.now_s == pytest.approx(101.5)


def test_conditions_are_those_that_are_stated() -> None:
    lan, wan = CONDITIONS["lan"], CONDITIONS["wan"]
    assert lan is not None and wan is not None
    assert (lan.delay_s, lan.bits_per_s, wan.delay_s, wan.bits_per_s) == (0.0001, 1e10, 0.02, 3.5e8)
    assert CONDITIONS["none"] is None
    assert wan.as_line("by hand")["simulated"] == "by hand"


def test_the_real_clock_is_waited_for() -> None:
    left, right = (ShapedTransport(inner, Conditions(0.05, 1e9)) for inner in local_mesh(2))
    began = left.clock()
    left.send(1, b"words")
    right.receive(0, began + 10)
    assert left.clock() - began >= 0.05
