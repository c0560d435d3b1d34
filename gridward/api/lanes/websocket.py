"""Lanes over WebSockets on a node's one port, as blocking calls for a compute thread."""

import asyncio
import queue
import socket
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

from websockets.exceptions import WebSocketException
from websockets.protocol import State
from websockets.sync.client import ClientConnection, connect

from gridward.api.lanes.lane import BEGINNING_BYTES, CLOSE_S, FLUSH_S, LaneKind, beginning, left_s
from gridward.core.framing import LONGEST_MESSAGE_BYTES, MESSAGE_BYTES, Frame, joined, pieces

UNREAD_BYTES: Final = 16 * MESSAGE_BYTES
"""So much of a peer may wait for the compute thread; the rest waits in the network."""
INLINE_BYTES: Final = 1 << 17
"""So much may be under way without waiting for the peer: systems take it though nobody reads yet."""
PAUSE_S: Final = 0.005
MESSAGE_OVERHEAD_BYTES: Final = 64
"""What an empty message takes in memory."""


class Keeper(Protocol):
    """Who holds the dialled lanes between sessions."""

    def keep(self, lane: "DialledWebSocket") -> None:
        """Take a lane whose session is complete."""


class DialledWebSocket:
    """The dialling side: a blocking client of the `websockets` library.

    A write that waits for the peer holds the library's lock, which its closing takes, too: what the network
    may not take at once is written by a thread, and who waited long enough shuts the socket under it.
    """

    kind: Final = LaneKind.WEBSOCKET
    authentic: Final = False
    """There may be TLS, to this node or to a proxy before it; neither end knows of the other."""

    def __init__(self, url: str, token: str, timeout_s: float, keeper: Keeper) -> None:
        self._held = ExitStack()
        self._keeper = keeper
        self._writer = ThreadPoolExecutor(1, "lane")
        self._written: Future[None] | None = None
        self._under_way = [0, 0]
        """Bytes sent before and since the last frame came: a peer that sent it had read the others."""
        try:
            self._connection: ClientConnection = self._held.enter_context(
                connect(
                    url,
                    additional_headers={"Authorization": f"Bearer {token}"},
                    open_timeout=timeout_s,
                    close_timeout=CLOSE_S,
                    max_size=LONGEST_MESSAGE_BYTES,
                    compression=None,
                    proxy=None,
                )
            )
        except (OSError, WebSocketException) as why:
            raise OSError(str(why)) from why
        self._connection.socket.settimeout(timeout_s)

    @property
    def alive(self) -> bool:
        """Say whether the connection stands."""
        return self._connection.protocol.state is State.OPEN

    def begin(self, session: str) -> None:
        """Begin a session."""
        self._put([beginning(session)], BEGINNING_BYTES)

    def send(self, *frame: Frame) -> None:
        """Send one frame: a long one in a thread, since parties may wait for each other in a ring."""
        self._put(list(pieces(*frame)), sum(map(len, frame)))

    def receive(self, deadline: float, limit_bytes: int) -> Frame:
        """Wait for one frame."""
        frame = joined(self._receive, deadline, limit_bytes)
        self._under_way = [self._under_way[1], 0]
        return frame

    def release(self) -> None:
        """Send what is left and give the lane back."""
        try:
            self._flush(time.monotonic() + FLUSH_S)
        except OSError:
            self.close()
        else:
            self._under_way = [0, 0]
            self._keeper.keep(self)

    def close(self) -> None:
        """Close the connection after what is being sent; a peer that does not read is left after a moment."""
        cut = threading.Timer(CLOSE_S, self._cut)
        cut.daemon = True
        cut.start()
        with suppress(OSError):
            self._flush(time.monotonic() + CLOSE_S)
        self._held.close()
        cut.cancel()
        self._writer.shutdown(wait=False)

    def _cut(self) -> None:
        with suppress(OSError):
            self._connection.socket.shutdown(socket.SHUT_RDWR)

    def _put(self, messages: Iterable[bytes], count: int) -> None:
        """Send messages, behind those that are being sent."""
        if not self.alive:
            raise OSError("the connection was closed")
        if self._written is not None and self._written.done():
            self._flush(0.0)
        self._under_way[1] += count
        if self._written is None and sum(self._under_way) <= INLINE_BYTES:
            self._send(messages)
        else:
            self._written = self._writer.submit(self._send, messages)

    def _flush(self, deadline: float) -> None:
        """Wait until all is sent, and raise what became of it; ``TimeoutError`` at the deadline."""
        if self._written is not None:
            self._written.result(left_s(deadline))
            self._written = None

    def _send(self, messages: Iterable[bytes]) -> None:
        try:
            for message in messages:
                self._connection.send(message)
        except WebSocketException as why:
            raise OSError("the connection was closed") from why

    def _receive(self, deadline: float) -> bytes:
        try:
            message = self._connection.recv(timeout=left_s(deadline))
        except WebSocketException as why:
            raise OSError("the connection was closed") from why
        if isinstance(message, str):
            raise OSError("sent text where binary frames are due")
        return message


class Outbox:
    """What an accepted connection is to send, for its sessions one after another; of the event loop alone."""

    def __init__(self) -> None:
        self._messages: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._ending = asyncio.Event()

    @property
    def empty(self) -> bool:
        """Say whether everything was handed to the network."""
        return self._messages.empty()

    def put(self, message: bytes) -> None:
        """Queue a message."""
        self._messages.put_nowait(message)

    def end(self) -> None:
        """End the connection after what is queued."""
        self._messages.put_nowait(None)
        self._ending.set()

    async def get(self) -> bytes | None:
        """Wait for the next message; None ends the connection."""
        return await self._messages.get()

    async def overdue(self) -> None:
        """Return when the connection should have ended."""
        await self._ending.wait()
        await asyncio.sleep(CLOSE_S)


@dataclass(slots=True, eq=False)
class AcceptedSession:
    """The accepting side of one session: bridges the event loop's WebSocket to the compute thread."""

    loop: asyncio.AbstractEventLoop
    outbox: Outbox
    authentic: bool = field(default=False, init=False)
    inbox: "queue.SimpleQueue[bytes | None]" = field(default_factory=queue.SimpleQueue)
    over: threading.Event = field(default_factory=threading.Event)
    unread_bytes: int = 0

    async def keep(self, message: bytes) -> None:
        """Queue a message for the compute thread; the peer waits where that is behind."""
        while self.unread_bytes > UNREAD_BYTES and not self.over.is_set():
            await asyncio.sleep(PAUSE_S)
        if not self.over.is_set():
            self.unread_bytes += len(message) + MESSAGE_OVERHEAD_BYTES
            self.inbox.put(message)

    def send(self, *frame: Frame) -> None:
        """Queue one frame for the event loop to send."""
        if self.over.is_set():
            raise OSError("the connection was closed")
        for piece in pieces(*frame):
            self.loop.call_soon_threadsafe(self.outbox.put, piece)

    def receive(self, deadline: float, limit_bytes: int) -> Frame:
        """Wait for one frame."""
        return joined(self._receive, deadline, limit_bytes)

    def release(self) -> None:
        """End the session; the connection waits for the next."""
        self.over.set()

    def close(self) -> None:
        """Ask the event loop to close the connection once everything queued is sent, or soon."""
        if not self.over.is_set():
            self.over.set()
            self.loop.call_soon_threadsafe(self.outbox.end)

    def lost(self) -> None:
        """Called by the event loop when the peer is gone: wakes a waiting receiver."""
        self.over.set()
        self.inbox.put(None)

    def _receive(self, deadline: float) -> bytes:
        try:
            message = self.inbox.get(timeout=left_s(deadline))
        except queue.Empty:
            raise TimeoutError from None
        if message is None:
            raise OSError("the connection was closed")
        self.loop.call_soon_threadsafe(self._read, len(message) + MESSAGE_OVERHEAD_BYTES)
        return message

    def _read(self, count: int) -> None:
        self.unread_bytes -= count
