"""What every transport between parties must do. Inherit ``LinkContract`` and supply ``connect``."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from gridward.core.errors import ProtocolError
from gridward.core.smpc.link import (
    FrameKind,
    Link,
    Transport,
    pack_header,
)

SESSION = b"session-of-tests"


@contextmanager
def closing(transports: Sequence[Transport]) -> Iterator[Sequence[Transport]]:
    try:
        yield transports
    finally:
        for transport in transports:
            transport.close()


def frame_of(link: Link, number: int, payload: bytes, kind: FrameKind = FrameKind.OPENING) -> bytes:
    """Write the frame that ``link`` would send."""
    checked = not link.transport.authentic(link.peers[0])
    return pack_header(kind, link.context, link.party, number, [payload], checked=checked) + payload


class LinkContract:
    """Runs against real transports; each test gets fresh ones from ``connect(parties)``."""

    def connect(self, parties: int) -> Sequence[Transport]:
        """Give one transport a party, connected to all others."""
        raise NotImplementedError

    def links(self, transports: Sequence[Transport], timeout_s: float = 5.0) -> list[Link]:
        count = len(transports)
        return [Link(transports[party], party, count, SESSION, timeout_s) for party in range(count)]

    def together(self, links: Sequence[Link], work: Callable[[Link], object]) -> list[object]:
        """Run every party; give results or the errors raised."""
        with ThreadPoolExecutor(len(links)) as pool:
            pending = [pool.submit(work, link) for link in links]
            return [future.exception() or future.result() for future in pending]

    @pytest.mark.parametrize("parties", [2, 3, 5])
    def test_every_party_receives_its_peers_payloads_in_order_of_index(self, parties: int) -> None:
        with closing(self.connect(parties)) as transports:
            links = self.links(transports)
            got = self.together(
                links, lambda link: [link.exchange(bytes([link.party, at])) for at in range(4)]
            )
        for party in range(parties):
            peers = [peer for peer in range(parties) if peer != party]
            assert got[party] == [[bytes([peer, at]) for peer in peers] for at in range(4)]

    def test_rounds_and_bytes_are_counted_with_headers(self) -> None:
        with closing(self.connect(3)) as transports:
            links = self.links(transports)
            self.together(links, lambda link: [link.exchange(bytes(100)) for _ in range(2)])
        sent = len(frame_of(links[0], 0, bytes(100)))
        assert [(link.rounds, link.bytes_sent) for link in links] == [(2, 2 * 2 * sent)] * 3

    def test_payloads_of_a_few_megabytes_cross_both_ways_at_once(self) -> None:
        payload = bytes(range(256)) * (3 << 12)
        with closing(self.connect(2)) as transports:
            got = self.together(self.links(transports, 20.0), lambda link: link.exchange(payload))
        assert got == [[payload], [payload]]

    def test_an_empty_payload_is_a_round_too(self) -> None:
        with closing(self.connect(2)) as transports:
            assert self.together(self.links(transports), lambda link: link.exchange(b"")) == [[b""], [b""]]

    def test_a_silent_peer_ends_the_round_at_the_deadline_by_name(self) -> None:
        with closing(self.connect(2)) as transports:
            link = self.links(transports, 0.2)[0]
            began = time.monotonic()
            with pytest.raises(ProtocolError, match=r"party 1 sent nothing in round 0 within 0\.2 s"):
                link.exchange(b"x")
            assert 0.15 < time.monotonic() - began < 5

    def test_a_peer_that_leaves_is_named_and_what_it_sent_before_arrives(self) -> None:
        with closing(self.connect(2)) as transports:
            links = self.links(transports)

            def work(link: Link) -> object:
                got = link.exchange(b"one")
                if link.party == 1:
                    link.close()
                    return got
                with pytest.raises(ProtocolError, match="party 1"):
                    link.exchange(b"two")
                return got

            assert self.together(links, work) == [[b"one"], [b"one"]]

    def test_closing_wakes_a_waiting_peer_before_its_deadline(self) -> None:
        with closing(self.connect(2)) as transports:
            links = self.links(transports, 30.0)
            timer = threading.Timer(0.2, transports[1].close)
            timer.start()
            began = time.monotonic()
            with pytest.raises(ProtocolError, match="party 1 was lost"):
                links[0].exchange(b"x")
            timer.join()
            assert time.monotonic() - began < 10

    def test_an_abort_tells_every_peer_who_and_why(self) -> None:
        with closing(self.connect(3)) as transports:
            links = self.links(transports)
            links[2].abort("out of disk")
            errors = self.together(links[:2], lambda link: link.exchange(b"x"))
        for error in errors:
            assert isinstance(error, ProtocolError)
            assert "party 2 ended the session: out of disk" in error.detail

    def test_one_partys_failure_reaches_all_of_them(self) -> None:
        with closing(self.connect(3)) as transports:
            links = self.links(transports)
            links[0].bind(b"another bundle")
            errors = self.together(links, lambda link: link.exchange(b"x"))
        assert all(isinstance(error, ProtocolError) for error in errors)

    @pytest.mark.parametrize(
        ("spoil", "cause"),
        [
            (lambda frame: frame[:-1], "header says"),
            (lambda frame: frame[:20], "header takes"),
            (lambda frame: b"", "header takes"),
            (lambda frame: frame + b"x", "header says"),
            (lambda frame: b"X" + frame[1:], "not a frame"),
            (lambda frame: frame[:4] + b"\x09" + frame[5:], "not a frame"),
            (lambda frame: frame[:10] + bytes([frame[10] ^ 1]) + frame[11:], "another session"),
        ],
    )
    def test_a_spoiled_frame_is_refused_by_name(self, spoil: Callable[[bytes], bytes], cause: str) -> None:
        with closing(self.connect(2)) as transports:
            links = self.links(transports)
            transports[1].send(0, spoil(frame_of(links[1], 0, b"words")))
            with pytest.raises(ProtocolError, match=f"party 1 sent.*{cause}"):
                links[0].exchange(b"words")

    def send_changed(self, transport: Transport, peer: int, frame: bytes) -> None:
        """Send a frame of which a byte of the payload is changed on the way."""
        assert not transport.authentic(peer)
        transport.send(peer, frame[:-1] + bytes([frame[-1] ^ 1]))

    def test_a_frame_that_is_changed_on_the_way_is_noticed(self) -> None:
        with closing(self.connect(2)) as transports:
            links = self.links(transports)
            self.send_changed(transports[1], 0, frame_of(links[1], 0, b"words"))
            with pytest.raises(ProtocolError, match=r"party 1 (sent a corrupted frame|was lost) in round 0"):
                links[0].exchange(b"words")

    def test_both_ends_say_alike_whether_bytes_may_be_changed_unseen(self) -> None:
        with closing(self.connect(2)) as transports:
            assert transports[0].authentic(1) == transports[1].authentic(0)

    def test_a_frame_of_another_length_is_refused(self) -> None:
        with closing(self.connect(2)) as transports:
            links = self.links(transports)
            transports[1].send(0, frame_of(links[1], 0, b"12345"))
            with pytest.raises(ProtocolError, match="party 1 sent 5 bytes where round 0 takes 4"):
                links[0].exchange(b"1234")

    @pytest.mark.parametrize("number", [1, 7])
    def test_an_early_or_late_round_is_refused(self, number: int) -> None:
        with closing(self.connect(2)) as transports:
            links = self.links(transports)
            transports[1].send(0, frame_of(links[1], number, b"1234"))
            with pytest.raises(ProtocolError, match=f"party 1 sent round {number} in round 0"):
                links[0].exchange(b"1234")

    def test_a_repeated_frame_is_refused(self) -> None:
        with closing(self.connect(2)) as transports:
            links = self.links(transports)
            for _ in range(2):
                transports[1].send(0, frame_of(links[1], 0, b"1234"))
            assert links[0].exchange(b"abcd") == [b"1234"]
            with pytest.raises(ProtocolError, match="party 1 sent round 0 in round 1"):
                links[0].exchange(b"abcd")

    def test_a_frame_in_another_partys_name_is_refused(self) -> None:
        with closing(self.connect(3)) as transports:
            links = self.links(transports)
            transports[1].send(0, frame_of(links[2], 0, b"1234"))
            with pytest.raises(ProtocolError, match="party 1 sent a frame of party 2"):
                links[0].exchange(b"1234")

    def test_nothing_is_exchanged_after_the_end(self) -> None:
        with closing(self.connect(2)) as transports:
            link = self.links(transports)[0]
            link.close()
            with pytest.raises(ProtocolError, match="over"):
                link.exchange(b"x")
