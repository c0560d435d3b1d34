"""What every kind of lane must do. Inherit ``LaneContract`` and supply ``dial`` and ``board``."""

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from types import ModuleType

import pytest

from gridward.api.lanes.idle import IdleLanes, Peer
from gridward.api.lanes.lane import CLOSE_S, DialledLane, Lane, LaneTransport
from gridward.api.lanes.switchboard import Switchboard
from gridward.core.errors import ProtocolError
from gridward.core.framing import MESSAGE_BYTES
from gridward.core.smpc.link import Link, Transport
from tests.unit.core.smpc.link_contract import LinkContract, closing

LIMIT_BYTES = 1 << 25
DEPLOYMENT = "d" * 32
FLOOD_BYTES = 64 * MESSAGE_BYTES
"""More than the network and the receiving side hold of a frame that nobody reads."""
PROMPT_S = 5 * CLOSE_S


def name(number: int) -> str:
    """Name a session."""
    return f"{number:032x}"


def _say(number: int, link: Link) -> object:
    return link.exchange(bytes([number, link.party]))


class LaneContract(LinkContract):
    """The contract of links over lanes, and what lanes do between sessions."""

    sessions = 0
    board: Switchboard
    flush_at: ModuleType
    """The module of the dialled lane, where it reads ``FLUSH_S``."""

    def dial(self) -> DialledLane:
        """Dial a lane as party 0 of ``DEPLOYMENT``."""
        raise NotImplementedError

    def kept(self) -> Sequence[DialledLane]:
        """Give the dialled lanes that were given back."""
        raise NotImplementedError

    def accompany(self, lanes: list[Lane]) -> None:
        """Do what ``connect_parties`` does for the lanes of one party."""

    def meet(self, dialled: DialledLane) -> Lane:
        """Begin a session on a dialled lane and claim its other end."""
        LaneContract.sessions += 1
        session = name(LaneContract.sessions)
        dialled.begin(session)
        return self.board.claim((DEPLOYMENT, session), 0, 5.0)

    def connect(self, parties: int) -> Sequence[Transport]:
        lanes: list[dict[int, Lane]] = [{} for _ in range(parties)]
        for low in range(parties):
            for high in range(low + 1, parties):
                dialled = self.dial()
                lanes[low][high], lanes[high][low] = dialled, self.meet(dialled)
        for mine in lanes:
            self.accompany(list(mine.values()))
        return [LaneTransport(mine, LIMIT_BYTES) for mine in lanes]

    def test_frames_longer_than_the_networks_memory_cross_among_three_parties(self) -> None:
        payload = bytes(range(256)) * (24 * MESSAGE_BYTES // 256)
        with closing(self.connect(3)) as transports:
            got = self.together(self.links(transports, 20.0), lambda link: link.exchange(payload))
        assert got == [[payload, payload]] * 3

    def test_a_lane_serves_one_session_after_another(self) -> None:
        dialled = self.dial()
        for number in range(3):
            ends: list[dict[int, Lane]] = [{1: dialled}, {0: self.meet(dialled)}]
            transports = [LaneTransport(end, LIMIT_BYTES) for end in ends]
            links = [Link(one, at, 2, b"session-of-tests", 5.0) for at, one in enumerate(transports)]
            got = self.together(links, partial(_say, number))
            assert got == [[bytes([number, 1])], [bytes([number, 0])]]
            self.together(links, lambda link: link.complete())
            assert list(self.kept()) == [dialled] * (number + 1)
            assert dialled.alive
        dialled.close()

    def test_a_session_may_begin_before_the_peer_has_given_the_lane_back(self) -> None:
        dialled = self.dial()
        first = self.meet(dialled)
        dialled.send(b"of the first")
        assert first.receive(time.monotonic() + 5, 99) == b"of the first"
        dialled.begin(name(10**6))
        dialled.send(b"of the second")
        with pytest.raises(ProtocolError, match="did not join"):  # one session at a time
            self.board.claim((DEPLOYMENT, name(10**6)), 0, 0.3)
        first.release()
        second = self.board.claim((DEPLOYMENT, name(10**6)), 0, 5.0)
        assert second.receive(time.monotonic() + 5, 99) == b"of the second"
        dialled.close()

    def test_a_lane_that_the_peer_left_is_not_alive(self) -> None:
        dialled = self.dial()
        self.meet(dialled).close()
        deadline = time.monotonic() + 5
        while dialled.alive and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not dialled.alive
        dialled.close()

    def test_an_announced_frame_above_the_limit_is_refused_before_it_is_kept(self) -> None:
        dialled = self.dial()
        accepted = self.meet(dialled)
        dialled.send(bytes(65))
        with pytest.raises(OSError, match="at most 64 are due"):
            accepted.receive(time.monotonic() + 5, 64)
        accepted.close()
        dialled.close()

    def test_a_session_that_nobody_claims_ends_in_time(self) -> None:
        dialled = self.dial()
        dialled.begin(name(10**6 + 1))
        began = time.monotonic()
        with pytest.raises(OSError, match=r"closed|reset|EOF|Broken"):
            dialled.receive(began + 20, 99)
        assert time.monotonic() - began < 15
        with pytest.raises(ProtocolError):
            self.board.claim((DEPLOYMENT, name(10**6 + 1)), 0, 0.01)
        dialled.close()

    def test_long_frames_cross_both_ways_at_once_though_nobody_reads_yet(self) -> None:
        frame = bytes(range(256)) * (20 * MESSAGE_BYTES // 256)
        dialled = self.dial()
        accepted = self.meet(dialled)
        got: list[bytes] = []

        def work(lane: Lane) -> None:
            lane.send(frame)
            got.append(lane.receive(time.monotonic() + 30, len(frame)))

        threads = [threading.Thread(target=work, args=(lane,)) for lane in (dialled, accepted)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert got == [frame, frame]
        accepted.close()
        dialled.close()

    def stuck(self, end: str) -> tuple[Lane, Lane]:
        """Give one end of a lane whose peer reads nothing, and that peer."""
        dialled = self.dial()
        accepted = self.meet(dialled)
        return (dialled, accepted) if end == "dialled" else (accepted, dialled)

    @pytest.mark.parametrize("end", ["dialled", "accepted"])
    def test_a_peer_that_does_not_read_holds_up_neither_sending_nor_closing(self, end: str) -> None:
        lane, peer = self.stuck(end)
        began = time.monotonic()
        lane.send(bytes(FLOOD_BYTES))
        for _ in range(8):
            lane.send(bytes(MESSAGE_BYTES // 2))
        lane.close()
        lane.close()
        with pytest.raises(OSError, match="closed"):
            lane.send(bytes(MESSAGE_BYTES))
        assert time.monotonic() - began < PROMPT_S
        time.sleep(2 * CLOSE_S)
        with pytest.raises(OSError, match=r"closed|reset|EOF|Broken"):
            peer.receive(time.monotonic() + 20, FLOOD_BYTES)
        peer.close()

    @pytest.mark.parametrize("end", ["dialled", "accepted"])
    def test_receiving_ends_at_its_deadline_though_the_peer_does_not_read(self, end: str) -> None:
        lane, peer = self.stuck(end)
        lane.send(bytes(FLOOD_BYTES))
        lane.send(b"another")
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            lane.receive(began + 0.2, 64)
        peer.send(b"I write, but do not read")
        with suppress(TimeoutError):
            lane.receive(time.monotonic() + 0.2, 64)
        assert time.monotonic() - began < PROMPT_S
        lane.close()
        peer.close()

    @pytest.mark.parametrize("end", ["dialled", "accepted"])
    def test_many_small_frames_to_a_peer_that_does_not_read_hold_nobody_up(self, end: str) -> None:
        lane, peer = self.stuck(end)
        began = time.monotonic()
        for _ in range(1 << 10):
            lane.send(bytes(1 << 15))
        lane.close()
        assert time.monotonic() - began < PROMPT_S
        peer.close()

    def test_a_session_with_a_peer_that_does_not_read_ends_by_its_deadline(self) -> None:
        timeout_s = 0.3
        with closing(self.connect(2)) as transports:
            link = self.links(transports, timeout_s)[0]
            began = time.monotonic()
            with pytest.raises(ProtocolError, match="party 1 sent nothing in round 0"):
                link.exchange(bytes(FLOOD_BYTES))
            assert time.monotonic() - began < timeout_s + PROMPT_S

    def test_a_peer_that_stops_reading_within_a_frame_holds_nobody_up(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(self.flush_at, "FLUSH_S", 0.2)
        lanes, idle = IdleLanes(), Peer(DEPLOYMENT, 1)
        for ends in (lambda lane: lane.release(), lambda lane: lanes.put(idle, lane)):
            dialled = self.dial()
            accepted = self.meet(dialled)
            dialled.send(bytes(FLOOD_BYTES))
            with pytest.raises(TimeoutError):
                accepted.receive(time.monotonic() + 0.02, FLOOD_BYTES)
            began = time.monotonic()
            ends(dialled)
            lanes.close()
            assert time.monotonic() - began < PROMPT_S
            assert not dialled.alive
            accepted.close()

    def test_a_lane_that_the_peer_has_not_read_to_the_end_is_not_kept(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(self.flush_at, "FLUSH_S", 0.2)
        dialled = self.dial()
        accepted = self.meet(dialled)
        dialled.send(bytes(FLOOD_BYTES))
        began = time.monotonic()
        dialled.release()
        assert time.monotonic() - began < PROMPT_S
        assert list(self.kept()) == []
        accepted.close()
