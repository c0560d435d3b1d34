"""The fast lane: a TLS 1.3 socket between two party nodes, read and written by the compute thread itself.

The server proves its node's identity: its certificate holds the Ed25519 key that the gateway attests, and the
dialling side compares the key, so no certificate authority takes part. The dialling side then names itself
with a signed request, as on every route (RFC 8446 for TLS, RFC 8410 for Ed25519 certificates).
"""

import os
import select
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from gridward.api.lanes.lane import CLOSE_S, FLUSH_S, LaneKind, beginning, left_s
from gridward.api.lanes.stream import RECORD_BYTES, TlsStream
from gridward.core.errors import ProtocolError
from gridward.core.framing import LENGTH, Frame, empty

_VALID: Final = timedelta(days=3650)


class Keeper(Protocol):
    """Who holds a side's lanes between sessions."""

    def keep(self, lane: "TlsLane") -> None:
        """Take a lane whose session is complete."""

    def lose(self, lane: "TlsLane") -> None:
        """Learn that a lane was closed."""


class TlsLane:
    """One side of a lane. The socket never blocks: a party sends and receives at once from one thread."""

    kind: Final = LaneKind.TLS
    authentic: Final = True

    def __init__(self, stream: TlsStream, keeper: Keeper) -> None:
        self._stream = stream
        self.descriptor: Final = stream.descriptor
        self._keeper = keeper
        self._read = bytearray()
        self._company: tuple[TlsLane, ...] = ()
        self._closed = False

    @property
    def alive(self) -> bool:
        """Say whether the connection stands; a peer that left, or speaks out of turn, makes it useless."""
        if self._closed or self._read:
            return False
        try:
            return not self._pull()
        except OSError:
            return False

    def begin(self, session: str) -> None:
        """Begin a session."""
        self._stream.queue(beginning(session))
        self._stream.push()

    def send(self, *frame: Frame) -> None:
        """Write what the network takes at once; the rest goes while the next frame is awaited."""
        if self._closed:
            raise OSError("the connection was closed")
        head, rest = bytearray(LENGTH.pack(sum(map(len, frame)))), []
        for part in (memoryview(one) for one in frame):  # a short frame is one record
            room = RECORD_BYTES - len(head)
            head += part[:room]
            rest.append(part[room:])
        for piece in (memoryview(head), *rest):
            if piece:
                self._stream.queue(piece)
        self._stream.push()

    def receive(self, deadline: float, limit_bytes: int) -> Frame:
        """Wait for one frame; an announced length is checked before any of it is kept."""
        (length,) = LENGTH.unpack(self.take(LENGTH.size, deadline))
        if length > limit_bytes:
            raise OSError(f"announced a frame of {length} bytes where at most {limit_bytes} are due")
        frame = self.take(length, deadline)
        self._flush(deadline)  # the peer may wait for the rest while this party computes
        return frame

    def take(self, count: int, deadline: float) -> Frame:
        """Read exactly ``count`` bytes."""
        if count > RECORD_BYTES:
            return self._fill(count, deadline)
        while len(self._read) < count:
            if not self._pull():
                self._wait(deadline)
        taken = bytes(self._read[:count])
        del self._read[:count]
        return taken

    def poll_message(self, count: int) -> Frame | None:
        """Give ``count`` bytes if they are here, None if not yet; ``OSError`` where the peer is gone."""
        while len(self._read) < count:
            if not self._pull():
                return None
        return self.take(count, time.monotonic())

    def accompany(self, lanes: Sequence["TlsLane"]) -> None:
        """Write on these lanes, too, while this one is waited for: their peers may wait for each other."""
        self._company = tuple(lane for lane in lanes if lane is not self)

    def release(self) -> None:
        """Send what is left and give the lane back."""
        self._company = ()
        try:
            self._flush(time.monotonic() + FLUSH_S)
        except OSError:
            self.close()
        else:
            self._keeper.keep(self)

    def close(self) -> None:
        """Deliver what was sent and end; a peer that still writes is read for a moment, not reset."""
        if self._closed:
            return
        self._closed = True
        self._keeper.lose(self)
        with suppress(OSError):
            self._flush(time.monotonic() + CLOSE_S)
        self._stream.forget()
        self._company = ()
        with suppress(OSError):
            self._stream.end()
        threading.Thread(target=self._linger, name="lane end", daemon=True).start()

    def _linger(self) -> None:
        with suppress(OSError):
            waiting = select.poll()
            waiting.register(self.descriptor, select.POLLIN)
            deadline = time.monotonic() + CLOSE_S
            while (
                (left := left_s(deadline)) and waiting.poll(left * 1e3) and os.read(self.descriptor, 1 << 16)
            ):
                pass
        self._stream.close()

    def _fill(self, count: int, deadline: float) -> memoryview:
        """Read a long frame straight to its place."""
        frame = empty(count)
        done = min(len(self._read), count)
        frame[:done] = self._read[:done]
        del self._read[:done]
        while done < count:
            got = self._stream.pull_into(frame[done:])
            done += got
            if not got:
                self._wait(deadline)
        return frame

    def _pull(self) -> bool:
        """Read what is here; say whether anything was."""
        data = self._stream.pull()
        self._read += data
        return bool(data)

    def _wait(self, deadline: float, events: int = select.POLLIN) -> None:
        """Wait for events of this lane, writing meanwhile what may go on it and its company.

        Raises ``TimeoutError`` at the deadline.
        """
        left = left_s(deadline)
        writing = [lane for lane in (self, *self._company) if lane._stream.unsent]
        waiting = select.poll()
        for lane in writing:
            waiting.register(lane.descriptor, select.POLLOUT)
        waiting.register(self.descriptor, events | (select.POLLOUT if self._stream.unsent else 0))
        if left == 0.0 or not waiting.poll(left * 1e3):
            raise TimeoutError
        for lane in writing:
            try:
                lane._stream.push()
            except OSError:  # whoever reads from that peer will find out
                lane._stream.forget()

    def _flush(self, deadline: float) -> None:
        self._stream.push()
        while self._stream.unsent:
            self._wait(deadline, events=select.POLLOUT)
            self._stream.push()


def keep_alive(raw: socket.socket) -> None:
    """Send small frames at once, and have the system find out that a silent peer is gone."""
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            raw.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def server_context(key: Ed25519PrivateKey, folder: Path, now: datetime) -> ssl.SSLContext:
    """Make the accepting side's context: a certificate of the node's own key, TLS 1.3 only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    certificate = _certificate(key, now).public_bytes(Encoding.PEM)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with tempfile.NamedTemporaryFile(dir=folder) as file:  # `ssl` reads keys from files only
        file.write(private + certificate)
        file.flush()
        context.load_cert_chain(file.name)
    return context


def client_context() -> ssl.SSLContext:
    """Make the dialling side's context; ``require_key`` does what a certificate authority would do."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def require_key(der: bytes | None, expected: Ed25519PublicKey, name: str) -> None:
    """Raise ``ProtocolError`` unless the server's certificate holds the key that the gateway attests."""
    try:
        held = x509.load_der_x509_certificate(der).public_key() if der else None
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion) as why:
        raise ProtocolError(f"{name}'s direct port answers with a certificate of another kind") from why
    if not isinstance(held, Ed25519PublicKey) or held.public_bytes_raw() != expected.public_bytes_raw():
        raise ProtocolError(f"{name}'s direct port answers with another key than the gateway attests")


def _certificate(key: Ed25519PrivateKey, now: datetime) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gridward node")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now.astimezone(UTC) - timedelta(days=1))
        .not_valid_after(now.astimezone(UTC) + _VALID)
        .sign(key, None)
    )
