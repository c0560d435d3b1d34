"""One ordered, authenticated WebSocket between two party nodes, as blocking calls for a compute thread.

Every node keeps one port: peers meet at `/v1/parties/links/{session}` of the party with the higher index; the
party with the lower index dials. A frame travels as one or more binary messages of at most ``MESSAGE_BYTES``,
the first of which begins with the frame's length (8 bytes, little-endian).
"""

import asyncio
import queue
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

MESSAGE_BYTES: Final = 1 << 20
LENGTH: Final = struct.Struct("<Q")
EARLY_BYTES: Final = 16 * MESSAGE_BYTES
"""What is read of a peer before anybody claimed its socket; the rest waits in the network."""
PAUSE_S: Final = 0.05


class Socket(Protocol):
    """Binary messages to and from one peer."""

    def send(self, message: bytes) -> None:
        """Hand one message to the network; raises ``OSError`` where the peer is gone."""

    def receive(self, timeout_s: float) -> bytes:
        """Wait for one message; raises ``TimeoutError``, or ``OSError`` where the peer is gone."""

    def close(self) -> None:
        """End the connection; safe to call twice."""


class DialledSocket:
    """The dialling side: a blocking client of the `websockets` library."""

    def __init__(self, url: str, token: str, timeout_s: float) -> None:
        self._held = ExitStack()
        try:
            self._connection: ClientConnection = self._held.enter_context(
                connect(
                    url,
                    additional_headers={"Authorization": f"Bearer {token}"},
                    open_timeout=timeout_s,
                    close_timeout=1,
                    max_size=MESSAGE_BYTES + LENGTH.size,
                    compression=None,
                    proxy=None,
                )
            )
        except (OSError, WebSocketException) as why:
            raise OSError(str(why)) from why

    def send(self, message: bytes) -> None:
        """Send one message."""
        try:
            self._connection.send(message)
        except WebSocketException as why:
            raise OSError("the connection was closed") from why

    def receive(self, timeout_s: float) -> bytes:
        """Wait for one message."""
        try:
            message = self._connection.recv(timeout=max(timeout_s, 0.0))
        except WebSocketException as why:
            raise OSError("the connection was closed") from why
        if isinstance(message, str):
            raise OSError("sent text where binary frames are due")
        return message

    def close(self) -> None:
        """Close the connection."""
        self._held.close()


@dataclass(slots=True)
class AcceptedSocket:
    """The accepting side: bridges the event loop's WebSocket to the compute thread.

    ``limit_bytes`` bounds what the peer may send in all; who claims the socket knows it and sets it.
    """

    loop: asyncio.AbstractEventLoop
    outbox: asyncio.Queue[bytes | None]
    inbox: queue.SimpleQueue[bytes | None] = field(default_factory=queue.SimpleQueue)
    closed: threading.Event = field(default_factory=threading.Event)
    limit_bytes: int | None = None
    received_bytes: int = 0

    async def keep(self, message: bytes) -> bool:
        """Queue a message for the compute thread; false where the peer has sent too much."""
        self.received_bytes += len(message)
        while self.limit_bytes is None and self.received_bytes > EARLY_BYTES:
            await asyncio.sleep(PAUSE_S)
        if self.limit_bytes is not None and self.received_bytes > self.limit_bytes:
            return False
        self.inbox.put(message)
        return len(message) <= MESSAGE_BYTES + LENGTH.size

    def send(self, message: bytes) -> None:
        """Queue one message for the event loop to send."""
        if self.closed.is_set():
            raise OSError("the connection was closed")
        self.loop.call_soon_threadsafe(self.outbox.put_nowait, message)

    def receive(self, timeout_s: float) -> bytes:
        """Wait for one message."""
        try:
            message = self.inbox.get(timeout=max(timeout_s, 0.0))
        except queue.Empty:
            raise TimeoutError from None
        if message is None:
            raise OSError("the connection was closed")
        return message

    def close(self) -> None:
        """Ask the event loop to close once everything queued is sent."""
        if not self.closed.is_set():
            self.closed.set()
            self.loop.call_soon_threadsafe(self.outbox.put_nowait, None)

    def lost(self) -> None:
        """Called by the event loop when the peer is gone: wakes a waiting receiver."""
        self.closed.set()
        self.inbox.put(None)


@dataclass(slots=True)
class SocketTransport:
    """A ``Transport`` of ``core.smpc.link`` over one socket a peer.

    ``limit_bytes`` bounds what a peer may announce: the program's own traffic, known before it runs.
    """

    sockets: dict[int, Socket]
    limit_bytes: int

    def send(self, peer: int, frame: bytes) -> None:
        """Hand over one frame.

        That a peer is gone is left to ``receive`` to find: what it said before it left, such as why it ended
        the session, is still to be read.
        """
        with suppress(OSError):
            for piece in _pieces(frame):
                self.sockets[peer].send(piece)

    def receive(self, peer: int, deadline: float) -> bytes:
        """Wait for the next frame until ``deadline``; an announced length is checked before any is kept."""
        socket = self.sockets[peer]
        first = socket.receive(deadline - time.monotonic())
        if len(first) < LENGTH.size:
            raise OSError("a frame begins with fewer bytes than its length takes")
        (length,) = LENGTH.unpack_from(first)
        if length > self.limit_bytes:
            raise OSError(f"announced a frame of {length} bytes where at most {self.limit_bytes} are due")
        frame = bytearray(memoryview(first)[LENGTH.size :])
        while len(frame) < length:
            if time.monotonic() > deadline:
                raise TimeoutError
            frame += socket.receive(deadline - time.monotonic())
        if len(frame) > length:
            raise OSError(f"sent {len(frame)} bytes in a frame of {length}")
        return bytes(frame)

    def close(self) -> None:
        """End every connection."""
        for socket in self.sockets.values():
            socket.close()


def _pieces(frame: bytes) -> Iterator[bytes]:
    yield LENGTH.pack(len(frame)) + frame[:MESSAGE_BYTES]
    for start in range(MESSAGE_BYTES, len(frame), MESSAGE_BYTES):
        yield frame[start : start + MESSAGE_BYTES]
