"""Where accepted links wait for the joint computation that they belong to."""

import threading
import time
from dataclasses import dataclass, field

from gridward.api.parties.pipe import AcceptedSocket
from gridward.core.errors import ConflictError, ProtocolError


@dataclass(slots=True)
class Switchboard:
    """Accepted sockets by (session, peer): offered by the event loop, claimed by a compute thread.

    A socket is claimed once. One that nobody claims stays until its connection ends, so the route that
    accepts it bounds how long that may be.
    """

    _waiting: dict[tuple[str, int], AcceptedSocket] = field(default_factory=dict)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def offer(self, session: str, peer: int, socket: AcceptedSocket) -> None:
        """Make a socket available; one peer joins a session once."""
        with self._changed:
            if (session, peer) in self._waiting:
                raise ConflictError(f"party {peer} has joined session {session} already")
            self._waiting[session, peer] = socket
            self._changed.notify_all()

    def claim(self, session: str, peer: int, timeout_s: float, limit_bytes: int) -> AcceptedSocket:
        """Take the socket of a peer, waiting until it has dialled. It may send ``limit_bytes`` in all."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while (session, peer) not in self._waiting:
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    raise ProtocolError(
                        f"party {peer} did not join session {session} within {timeout_s:.0f} s"
                    )
            socket = self._waiting.pop((session, peer))
        socket.limit_bytes = limit_bytes
        return socket

    def withdraw(self, session: str, peer: int, socket: AcceptedSocket) -> None:
        """Forget a socket whose connection ended before anybody claimed it."""
        with self._changed:
            if self._waiting.get((session, peer)) is socket:
                del self._waiting[session, peer]
