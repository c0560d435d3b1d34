"""Lanes over WebSockets on a node's one port, as blocking calls for a compute thread."""

import asyncio
import queue
import threading
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

from websockets.exceptions import WebSocketException
from websockets.protocol import State
from websockets.sync.client import ClientConnection, connect

from gridward.api.lanes.lane import LaneKind, beginning, left_s
from gridward.core.framing import LONGEST_MESSAGE_BYTES, MESSAGE_BYTES, joined, pieces

UNREAD_BYTES: Final = 16 * MESSAGE_BYTES
"""So much of a peer may wait for the compute thread; the rest waits in the network."""
PAUSE_S: Final = 0.005
CLOSE_S: Final = 1.0
MESSAGE_OVERHEAD_BYTES: Final = 64
"""What an empty message takes in memory."""


class Keeper(Protocol):
    """Who holds the dialled lanes between sessions."""

    def keep(self, lane: "DialledWebSocket") -> None:
        """Take a lane whose session is complete."""


class DialledWebSocket:
    """The dialling side: a blocking client of the `websockets` library."""

    kind: Final = LaneKind.WEBSOCKET

    def __init__(self, url: str, token: str, timeout_s: float, keeper: Keeper) -> None:
        self._held = ExitStack()
        self._keeper = keeper
        self._writer = ThreadPoolExecutor(1, "lane")
        self._written: Future[None] | None = None
        try:
            self._connection: ClientConnection = self._held.enter_context(
                connect(
                    url,
                    additional_headers={"Authorization": f"Bearer {token}"},
                    open_timeout=timeout_s,
                    close_timeout=1,
                    max_size=LONGEST_MESSAGE_BYTES,
                    compression=None,
                    proxy=None,
                )
            )
        except (OSError, WebSocketException) as why:
            raise OSError(str(why)) from why

    @property
    def alive(self) -> bool:
        """Say whether the connection stands."""
        return self._connection.protocol.state is State.OPEN

    def begin(self, session: str) -> None:
        """Begin a session."""
        self._flush()
        self._send([beginning(session)])

    def send(self, frame: bytes) -> None:
        """Send one frame: a long one in a thread, since parties may wait for each other in a ring."""
        self._flush()
        if len(frame) <= MESSAGE_BYTES:
            self._send(pieces(frame))
        else:
            self._written = self._writer.submit(self._send, pieces(frame))

    def receive(self, deadline: float, limit_bytes: int) -> bytes:
        """Wait for one frame."""
        return joined(self._receive, deadline, limit_bytes)

    def release(self) -> None:
        """Give the lane back."""
        try:
            self._flush()
        except OSError:
            self.close()
        else:
            self._keeper.keep(self)

    def close(self) -> None:
        """Close the connection after what is being sent."""
        self._writer.shutdown(wait=False)
        with suppress(OSError, FutureTimeoutError):
            if self._written is not None:
                self._written.result(CLOSE_S)
        self._held.close()

    def _flush(self) -> None:
        """Wait for the frame that is being sent, and raise what became of it."""
        written, self._written = self._written, None
        if written is not None:
            written.result()

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


@dataclass(slots=True, eq=False)
class AcceptedSession:
    """The accepting side of one session: bridges the event loop's WebSocket to the compute thread.

    ``outbox`` is the connection's, shared by its sessions one after another; None in it ends the connection.
    """

    loop: asyncio.AbstractEventLoop
    outbox: "asyncio.Queue[bytes | None]"
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

    def send(self, frame: bytes) -> None:
        """Queue one frame for the event loop to send."""
        if self.over.is_set():
            raise OSError("the connection was closed")
        for piece in pieces(frame):
            self.loop.call_soon_threadsafe(self.outbox.put_nowait, piece)

    def receive(self, deadline: float, limit_bytes: int) -> bytes:
        """Wait for one frame."""
        return joined(self._receive, deadline, limit_bytes)

    def release(self) -> None:
        """End the session; the connection waits for the next."""
        self.over.set()

    def close(self) -> None:
        """Ask the event loop to close the connection once everything queued is sent."""
        if not self.over.is_set():
            self.over.set()
            self.loop.call_soon_threadsafe(self.outbox.put_nowait, None)

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
