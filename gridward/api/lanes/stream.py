"""TLS over a socket that never blocks, many records at a time.

An ``SSLSocket`` asks the system three times for every record of 16 KiB: twice to read it, once to write it.
Here records are made and read in memory, and the socket takes and gives ``CHUNK_BYTES`` at once.
"""

import socket
import ssl
import time
from collections import deque
from typing import Final, cast

from gridward.api.lanes.lane import left_s
from gridward.core.framing import Frame

RECORD_BYTES: Final = 1 << 14
"""The most that one TLS record holds."""
CHUNK_BYTES: Final = 1 << 17
_CLOSED: Final = "the connection was closed"


class TlsStream:
    """One end of a TLS connection, after its handshake. Used by one thread at a time."""

    def __init__(
        self, raw: socket.socket, context: ssl.SSLContext, timeout_s: float, *, server: bool
    ) -> None:
        """Make the handshake; ``OSError`` where it fails, or takes longer than ``timeout_s``."""
        self._raw = raw
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=server)
        self._plain: deque[memoryview] = deque()
        self._sealed = memoryview(b"")
        self._shake_hands(time.monotonic() + timeout_s)
        raw.setblocking(False)

    @property
    def descriptor(self) -> int:
        """Give the socket's file descriptor, -1 once it is closed."""
        return self._raw.fileno()

    @property
    def certificate(self) -> bytes | None:
        """Give the other end's certificate, as DER."""
        return self._tls.getpeercert(binary_form=True)

    @property
    def unsent(self) -> bool:
        """Say whether anything waits for the network."""
        return bool(self._plain or self._sealed)

    def queue(self, data: Frame) -> None:
        """Have bytes sent behind those that wait; they are left unchanged until then."""
        self._plain.append(memoryview(data))

    def forget(self) -> None:
        """Have nothing more to send."""
        self._plain.clear()
        self._sealed = memoryview(b"")

    def push(self) -> None:
        """Write what the network takes at once."""
        while self._sealed or self._seal():
            try:
                sent = self._raw.send(self._sealed)
            except BlockingIOError:
                return
            self._sealed = self._sealed[sent:]

    def pull(self) -> bytes:
        """Read at most a record; nothing where nothing has come. ``OSError`` where the other end is gone."""
        while True:
            try:
                data = self._tls.read(RECORD_BYTES)
            except ssl.SSLWantReadError:
                if not self._receive(2 * RECORD_BYTES):
                    return b""
            else:
                if not data:  # the other end's close_notify, whatever becomes of its socket
                    raise OSError(_CLOSED)
                return data

    def pull_into(self, room: memoryview) -> int:
        """Read as ``pull`` does, to a place; gives the bytes read."""
        while True:
            try:
                got = cast(int, self._tls.read(len(room), room))  # bytes without a buffer
            except ssl.SSLWantReadError:
                if not self._receive(CHUNK_BYTES):
                    return 0
            else:
                if not got and room:
                    raise OSError(_CLOSED)
                return got

    def end(self) -> None:
        """Send nothing more; the other end reads to the end of what was sent."""
        self._raw.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Give the socket up."""
        self._raw.close()

    def _seal(self) -> bool:
        """Make the next records of what waits; say whether there are any."""
        if not self._plain:
            return False
        room = CHUNK_BYTES
        while room > 0 and self._plain:
            first = self._plain[0]
            done = self._tls.write(first[:RECORD_BYTES])
            room -= done
            if done < len(first):
                self._plain[0] = first[done:]
            else:
                self._plain.popleft()
        self._sealed = memoryview(self._outgoing.read())
        return True

    def _receive(self, limit_bytes: int) -> bool:
        """Take from the network what is there; say whether anything was."""
        try:
            data = self._raw.recv(limit_bytes)
        except BlockingIOError:
            return False
        if not data:
            raise OSError(_CLOSED)
        self._incoming.write(data)
        return True

    def _shake_hands(self, deadline: float) -> None:
        while True:
            try:
                self._tls.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                done = False
            finally:
                self._say(deadline)  # an alert, too
            if done:
                return
            self._raw.settimeout(_some(deadline))
            if not self._receive(RECORD_BYTES):
                raise TimeoutError

    def _say(self, deadline: float) -> None:
        said = self._outgoing.read()
        if said:
            self._raw.settimeout(_some(deadline))
            self._raw.sendall(said)


def _some(deadline: float) -> float:
    """Give the seconds left; ``TimeoutError`` where there are none, since 0 would mean not to block."""
    left = left_s(deadline)
    if left == 0.0:
        raise TimeoutError
    return left
