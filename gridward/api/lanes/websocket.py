"""Lanes over WebSockets on a node's one port, as blocking calls for a compute thread."""

import asyncio
import queue
import threading
from contextlib import ExitStack
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
        self._send(beginning(session))

    def send(self, frame: bytes) -> None:
        """Send one frame; the library reads what comes meanwhile."""
        for piece in pieces(frame):
            self._send(piece)

    def receive(self, deadline: float, limit_bytes: int) -> bytes:
        """Wait for one frame."""
        return joined(self._receive, deadline, limit_bytes)

    def release(self) -> None:
        """Give the lane back."""
        self._keeper.keep(self)

    def close(self) -> None:
        """Close the connection."""
        self._held.close()

    def _send(self, message: bytes) -> None:
        try:
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
        self.unread_bytes += len(message)
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
        self.loop.call_soon_threadsafe(self._read, len(message))
        return message

    def _read(self, count: int) -> None:
        self.unread_bytes -= count
