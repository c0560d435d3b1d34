"""Frames over plain connected sockets, one a peer, without threads: what the protocol needs of a link."""

import select
import socket
import struct
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import combinations
from typing import Final

from gridward.core.smpc.link import Octets

LENGTH: Final = struct.Struct("<Q")
CLOSE_S: Final = 1.0
BUFFER_BYTES: Final = 1 << 22


@dataclass(slots=True)
class StreamTransport:
    """A ``Transport`` of ``core.smpc.link`` over stream sockets; used by one thread.

    ``written_bytes`` counts what the sockets took: frames, and 8 bytes of length before each. What a socket
    does not take at once goes out while the next frame is awaited, so that two parties may send large frames
    to each other.
    """

    sockets: Mapping[int, socket.socket]
    written_bytes: int = 0
    _pending: dict[int, bytearray] = field(init=False)

    def __post_init__(self) -> None:
        self._pending = {peer: bytearray() for peer in self.sockets}
        for one in self.sockets.values():
            one.setblocking(False)

    def authentic(self, peer: int) -> bool:
        """Leave check sums in: a socket has none of its own."""
        return False

    def send(self, peer: int, *frame: Octets) -> None:
        """Hand over one frame; that a peer is gone is left to ``receive`` to find."""
        self._pending[peer] += LENGTH.pack(sum(map(len, frame)))
        for part in frame:
            self._pending[peer] += part
        self._flush(peer)

    def receive(self, peer: int, deadline: float) -> bytes:
        """Wait for the next frame, and until the peer has taken what was sent to it."""
        (length,) = LENGTH.unpack(self._read(peer, LENGTH.size, deadline))
        frame = bytes(self._read(peer, length, deadline))
        while self._pending[peer]:
            self._wait(peer, deadline, reading=False)
        return frame

    def complete(self) -> None:
        """Keep the connections for the next session."""

    def close(self) -> None:
        """End every connection after sending what is left, for a second at most."""
        for peer, one in self.sockets.items():
            with suppress(OSError):
                one.settimeout(CLOSE_S)
                one.sendall(self._pending[peer])
            self._pending[peer].clear()
            one.close()

    def _read(self, peer: int, count: int, deadline: float) -> bytearray:
        data = bytearray(count)
        view = memoryview(data)
        while view:
            try:
                received = self.sockets[peer].recv_into(view)
            except BlockingIOError:
                self._wait(peer, deadline, reading=True)
                continue
            if not received:
                raise OSError("the connection was closed")
            view = view[received:]
        return data

    def _wait(self, peer: int, deadline: float, *, reading: bool) -> None:
        one = self.sockets[peer]
        left = max(deadline - time.monotonic(), 0.0)
        ready = select.select([one] if reading else [], [one] if self._pending[peer] else [], [], left)
        if not any(ready):
            raise TimeoutError
        self._flush(peer)

    def _flush(self, peer: int) -> None:
        pending = self._pending[peer]
        try:
            while pending:
                count = self.sockets[peer].send(pending)
                self.written_bytes += count
                del pending[:count]
        except BlockingIOError:
            return
        except OSError:
            pending.clear()  # the peer left; what it said before is still to be read


def socket_mesh(parties: int) -> list[dict[int, socket.socket]]:
    """Connect every two of ``parties`` by a local socket pair; gives each party's sockets by peer."""
    mesh: list[dict[int, socket.socket]] = [{} for _ in range(parties)]
    for left, right in combinations(range(parties), 2):
        mesh[left][right], mesh[right][left] = socket.socketpair()
        for one in (mesh[left][right], mesh[right][left]):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
    return mesh
