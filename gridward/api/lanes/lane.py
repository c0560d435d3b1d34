"""What every lane offers: an authenticated connection of two parties that serves one session after another.

The party with the lower index dials and begins sessions; the other accepts. A session begins with
``beginning(session)``; frames follow, each announced by its length. A session that ends well gives its lane
back for the next one, any other end closes it.
"""

import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from gridward.core.framing import Frame

SESSION_PATTERN: Final = re.compile(r"[0-9a-f]{32}")
_BEGIN: Final = b"\xff\xff\xff\xff\xff\xff\xff\xffGWB1"
"""No frame is so long: its first eight bytes cannot be a length."""
BEGINNING_BYTES: Final = len(_BEGIN) + 32
FLUSH_S: Final = 30.0
"""So long a peer may take to read what is left at the end of a session that went well."""
CLOSE_S: Final = 1.0
"""So long it may where the connection is to end."""


class LaneKind(StrEnum):
    """How two parties are connected: a direct TLS socket, or a WebSocket on the node's one port."""

    TLS = "tls"
    WEBSOCKET = "websocket"


class Lane(Protocol):
    """Frames to and from one peer. Used by one thread at a time."""

    @property
    def authentic(self) -> bool:
        """Say, alike at both ends, whether a byte that is changed on the way ends the connection."""

    def send(self, *frame: Frame) -> None:
        """Hand over one frame, in parts, without waiting for the peer to read it.

        The parts are left unchanged until the peer's next frame was received. ``OSError`` where it is gone.
        """

    def receive(self, deadline: float, limit_bytes: int) -> Frame:
        """Wait for one frame until ``deadline`` on the monotonic clock.

        Raises ``TimeoutError`` then, ``OSError`` where the peer is gone or announces more than
        ``limit_bytes``: nothing of such a frame is kept.
        """

    def release(self) -> None:
        """Give the lane back: its session is complete, all frames were read."""

    def close(self) -> None:
        """End the connection after delivering what was sent; safe to call twice.

        A peer that does not read gets no more after ``CLOSE_S``: nobody waits longer for it.
        """


class DialledLane(Lane, Protocol):
    """The side that begins sessions."""

    @property
    def kind(self) -> LaneKind:
        """Say how the peer is connected."""

    @property
    def alive(self) -> bool:
        """Say whether the connection still stands, as far as this side knows."""

    def begin(self, session: str) -> None:
        """Begin a session; ``OSError`` where the peer is gone."""


def beginning(session: str) -> bytes:
    """Write the message that begins a session; its name is 32 hexadecimal digits."""
    if not SESSION_PATTERN.fullmatch(session):
        raise ValueError("a session's name has 32 hexadecimal digits")
    return _BEGIN + session.encode()


def session_of(message: Frame) -> str | None:
    """Read a beginning; None for any other message."""
    name = bytes(message[len(_BEGIN) : BEGINNING_BYTES + 1]).decode("ascii", errors="replace")
    return name if message[: len(_BEGIN)] == _BEGIN and SESSION_PATTERN.fullmatch(name) else None


@dataclass(frozen=True, slots=True)
class LaneTransport:
    """A ``Transport`` of ``core.smpc.link`` over one lane a peer.

    ``limit_bytes`` bounds what a peer may announce: the program's own traffic, known before it runs.
    """

    lanes: Mapping[int, Lane]
    limit_bytes: int

    def authentic(self, peer: int) -> bool:
        """Say what the lane says."""
        return self.lanes[peer].authentic

    def send(self, peer: int, *frame: Frame) -> None:
        """Hand over one frame.

        That a peer is gone is left to ``receive`` to find: what it said before it left, such as why it ended
        the session, is still to be read.
        """
        with suppress(OSError):
            self.lanes[peer].send(*frame)

    def receive(self, peer: int, deadline: float) -> Frame:
        """Wait for the next frame."""
        return self.lanes[peer].receive(deadline, self.limit_bytes)

    def complete(self) -> None:
        """Give every lane back."""
        for lane in self.lanes.values():
            lane.release()

    def close(self) -> None:
        """End every connection."""
        for lane in self.lanes.values():
            lane.close()


def left_s(deadline: float) -> float:
    """Say how many seconds are left until a deadline, at least 0."""
    return max(deadline - time.monotonic(), 0.0)
