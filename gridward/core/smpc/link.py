"""Frames between the parties of one session, and the in-process mesh.

A transport moves opaque frames between two parties, in order. Everything else is here, once for every
transport: numbering, lengths, check sums, deadlines, and who is told when a session ends early. Where a
transport authenticates every byte itself, as TLS does, a check sum says no more, and is left out.
"""

import hashlib
import queue
import struct
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, NoReturn, Protocol, TypeAlias

from gridward.core.errors import ProtocolError

SESSION_BYTES: Final = 16
_HEADER: Final = struct.Struct("<4sB32sBIQI")
HEADER_BYTES: Final = _HEADER.size
_MAGIC: Final = b"GWF2"
_CAUSE_BYTES: Final = 200

Octets: TypeAlias = bytes | bytearray | memoryview
"""Bytes wherever they lie; a view is contiguous, of any shape and item."""


class FrameKind(IntEnum):
    """An opening of a round, or the news that the session is over."""

    OPENING = 0
    ABORT = 1


_KINDS: Final = frozenset(FrameKind)


class Transport(Protocol):
    """Ordered, authenticated frames to and from every peer; one per session and party.

    Authentication is the transport's: bytes received from ``peer`` were sent by that party.
    """

    def authentic(self, peer: int) -> bool:
        """Say, alike at both ends, whether a byte that is changed on the way ends the connection."""

    def send(self, peer: int, *frame: Octets) -> None:
        """Hand over one frame, in parts, without waiting for the peer to receive it.

        The parts, contiguous bytes each, are left unchanged until the peer's next frame was received.
        Raises ``OSError`` where the peer is gone.
        """

    def receive(self, peer: int, deadline: float) -> Octets:
        """Wait for the next frame until ``deadline`` on the monotonic clock.

        Raises ``TimeoutError`` then, ``OSError`` where the peer is gone. Frames that came before it left
        are still delivered.
        """

    def complete(self) -> None:
        """The session has ended well and everything was received: connections may serve another one."""

    def close(self) -> None:
        """End the connection to every peer after delivering what was sent; safe to call twice."""


def pack_header(
    kind: FrameKind, context: bytes, party: int, number: int, payload: Sequence[Octets], *, checked: bool
) -> bytes:
    """Write what goes before a payload, little-endian: magic, kind, context, sender, round, length, CRC-32.

    Instead of the CRC of what is not ``checked`` there is 0.
    """
    check, length = 0, 0
    for part in payload:
        check, length = zlib.crc32(part, check) if checked else 0, length + memoryview(part).nbytes
    return _HEADER.pack(_MAGIC, kind, context, party, number, length, check)


@dataclass(slots=True)
class Link:
    """One party's connection to all its peers in one session. Not shared between threads.

    ``session`` is a name of 16 bytes, equal on all parties and never used twice; ``timeout_s`` bounds the
    wait of one round.
    """

    transport: Transport
    party: int
    parties: int
    session: bytes
    timeout_s: float
    clock: Callable[[], float] = time.monotonic
    rounds: int = 0
    bytes_sent: int = 0
    peers: tuple[int, ...] = field(init=False)
    """The other parties by index."""
    context: bytes = field(default=b"", init=False, repr=False)
    _over: bool = field(default=False, repr=False)

    def __post_init__(self) -> None:
        if len(self.session) != SESSION_BYTES:
            raise ValueError(f"a session has {SESSION_BYTES} bytes, not {len(self.session)}")
        if not 0 <= self.party < self.parties:
            raise ValueError(f"party {self.party} of {self.parties}")
        self.peers = tuple(peer for peer in range(self.parties) if peer != self.party)
        self.bind()

    def bind(self, *agreed: Octets, digest: bytes = b"") -> None:
        """Name what the parties must agree on: frames of a peer bound to anything else are refused.

        ``digest`` is the SHA-256 of the last part, where it was made already.
        """
        hashes = [hashlib.sha256(part).digest() for part in (self.session, *agreed)]
        self.context = hashlib.sha256(b"".join(hashes) + digest).digest()

    def exchange(self, *payload: Octets) -> list[memoryview]:
        """Send ``payload``, all parts joined, to every peer and receive theirs of the same length: one round.

        Gives the peers' payloads in the order of ``peers``. Raises ``ProtocolError`` naming the peer on a
        lost peer, a deadline, or a frame of another session, round, sender or length; the session is over
        then, on every party.
        """
        if self._over:
            raise ProtocolError("the session is over")
        parts = [_flat(part) for part in payload]
        length = sum(map(len, parts))
        deadline = self.clock() + self.timeout_s
        for peer, header in self._headers(FrameKind.OPENING, parts):
            try:
                self.transport.send(peer, header, *parts)
            except OSError as why:
                self._fail(peer, f"cannot be reached: {why}", why)
            self.bytes_sent += HEADER_BYTES + length
        received = [self._receive(peer, deadline, length) for peer in self.peers]
        self.rounds += 1
        return received

    def _headers(self, kind: FrameKind, payload: Sequence[Octets]) -> list[tuple[int, bytes]]:
        """Write the header for each peer; a check sum is made once, if any of them needs it."""
        checks = {peer: not self.transport.authentic(peer) for peer in self.peers}
        headers = {
            checked: pack_header(kind, self.context, self.party, self.rounds, payload, checked=checked)
            for checked in set(checks.values())
        }
        return [(peer, headers[checks[peer]]) for peer in self.peers]

    def _receive(self, peer: int, deadline: float, length: int) -> memoryview:
        try:
            frame = self.transport.receive(peer, deadline)
        except TimeoutError as why:
            self._fail(peer, f"sent nothing in round {self.rounds} within {self.timeout_s:g} s", why)
        except (OSError, ProtocolError) as why:
            self._fail(peer, f"was lost in round {self.rounds}: {why}", why)
        kind, context, number, payload = self._parse(peer, frame)
        if kind == FrameKind.ABORT:
            detail = f"party {peer} ended the session: {bytes(payload).decode(errors='replace')}"
            self.abort(detail)  # a third party may be waiting for this one, not for the peer that ended it
            raise ProtocolError(detail)
        if context != self.context:
            self._fail(peer, "sent a frame of another session, program, bundle or input")
        if number != self.rounds:
            self._fail(peer, f"sent round {number} in round {self.rounds}")
        if len(payload) != length:
            self._fail(peer, f"sent {len(payload)} bytes where round {self.rounds} takes {length}")
        return payload

    def _parse(self, peer: int, frame: Octets) -> tuple[int, bytes, int, memoryview]:
        if len(frame) < HEADER_BYTES:
            self._fail(peer, f"sent {len(frame)} bytes where a frame's header takes {HEADER_BYTES}")
        magic, kind, context, sender, number, announced, check = _HEADER.unpack_from(frame)
        payload = memoryview(frame)[HEADER_BYTES:]
        wrong = (
            (magic != _MAGIC or kind not in _KINDS, "something that is not a frame"),
            (sender != peer, f"a frame of party {sender}"),
            (announced != len(payload), f"{len(payload)} bytes where the header says {announced}"),
            (check != (0 if self.transport.authentic(peer) else zlib.crc32(payload)), "a corrupted frame"),
        )
        for fault, words in wrong:
            if fault:
                self._fail(peer, f"sent {words} in round {self.rounds}")
        return kind, context, number, payload

    def _fail(self, peer: int, cause: str, why: Exception | None = None) -> NoReturn:
        detail = f"party {peer} {cause}"
        self.abort(detail)
        raise ProtocolError(detail) from why

    def abort(self, cause: str) -> None:
        """Tell every peer that the session is over and why (no secrets), and close; safe to call twice."""
        if self._over:
            return
        self._over = True
        text = cause.encode()[:_CAUSE_BYTES]
        for peer, header in self._headers(FrameKind.ABORT, [text]):
            try:
                self.transport.send(peer, header, text)
            except OSError:
                continue
        self.transport.close()

    def complete(self) -> None:
        """End a session that went well."""
        if not self._over:
            self._over = True
            self.transport.complete()

    def close(self) -> None:
        """Leave without a word; safe to call twice."""
        self._over = True
        self.transport.close()


def _flat(part: Octets) -> memoryview:
    """View a part as bytes in one dimension."""
    view = memoryview(part)
    return view.cast("B") if view.nbytes else memoryview(b"")


@dataclass(slots=True)
class LocalTransport:
    """In-process transport: one queue for each direction of each pair."""

    party: int
    inboxes: dict[int, queue.SimpleQueue[bytes | None]]
    outboxes: dict[int, queue.SimpleQueue[bytes | None]]
    closed: bool = False

    def authentic(self, peer: int) -> bool:
        """Leave check sums in: what is passed on is what tests spoil."""
        return False

    def send(self, peer: int, *frame: Octets) -> None:
        """Queue one frame."""
        if self.closed:
            raise OSError("the connection was closed")
        self.outboxes[peer].put(b"".join(frame))

    def receive(self, peer: int, deadline: float) -> bytes:
        """Take the next frame."""
        try:
            frame = self.inboxes[peer].get(timeout=max(deadline - time.monotonic(), 0.0))
        except queue.Empty:
            raise TimeoutError from None
        if frame is None:
            self.inboxes[peer].put(None)
            raise OSError("the connection was closed")
        return frame

    def complete(self) -> None:
        """End the session: a mesh serves one."""
        self.close()

    def close(self) -> None:
        """Tell every peer that nothing more will come."""
        if not self.closed:
            self.closed = True
            for outbox in self.outboxes.values():
                outbox.put(None)


def local_mesh(parties: int) -> list[LocalTransport]:
    """Connect ``parties`` transports inside one process; each is used by one thread."""
    lanes: dict[tuple[int, int], queue.SimpleQueue[bytes | None]] = {
        (a, b): queue.SimpleQueue() for a in range(parties) for b in range(parties) if a != b
    }
    return [
        LocalTransport(
            party,
            {peer: lanes[peer, party] for peer in range(parties) if peer != party},
            {peer: lanes[party, peer] for peer in range(parties) if peer != party},
        )
        for party in range(parties)
    ]
