import pytest

from gridward.bench.relay import Relay
from gridward.bench.shaping import Conditions

SLOW = Conditions(delay_s=0.5, bits_per_s=8000)


def test_a_packet_takes_its_length_over_the_rate_and_the_delay() -> None:
    relay = Relay(SLOW)
    assert relay.wait_s(100.0) is None
    relay.take(1, 2, bytes(1000), 100.0)
    assert relay.wait_s(100.0) == pytest.approx(1.5)
    assert relay.arrived(101.4) == []
    assert relay.arrived(101.5) == [(2, bytes(1000))]
    assert relay.wait_s(101.5) is None


def test_packets_of_one_sender_queue_and_those_of_another_do_not() -> None:
    relay = Relay(SLOW)
    relay.take(1, 3, b"a" * 1000, 100.0)
    relay.take(1, 3, b"b" * 1000, 100.0)
    relay.take(2, 3, b"c" * 1000, 100.0)
    assert [packet[:1] for _, packet in relay.arrived(101.5)] == [b"a", b"c"]
    assert relay.wait_s(101.5) == pytest.approx(1.0)
    assert [packet[:1] for _, packet in relay.arrived(102.5)] == [b"b"]


def test_equal_arrivals_keep_their_order() -> None:
    relay = Relay(Conditions(delay_s=0.1, bits_per_s=1e30))
    for number in range(20):
        relay.take(1, 2, bytes([number]), 7.0)
    assert [packet[0] for _, packet in relay.arrived(8.0)] == list(range(20))


def test_what_is_overdue_is_not_waited_for() -> None:
    relay = Relay(SLOW)
    relay.take(1, 2, b"x", 100.0)
    assert relay.wait_s(500.0) == 0.0
