"""Frames as binary messages of bounded size: what WebSockets carry between parties, and to them.

A frame travels as one or more messages of at most ``MESSAGE_BYTES``; the first begins with the frame's length
(8 bytes, little-endian).
"""

import struct
import time
from collections.abc import Iterator
from typing import Final, Protocol

MESSAGE_BYTES: Final = 1 << 20
LENGTH: Final = struct.Struct("<Q")
LONGEST_MESSAGE_BYTES: Final = MESSAGE_BYTES + LENGTH.size


class Receive(Protocol):
    """Waits for one message until a deadline on the monotonic clock."""

    def __call__(self, deadline: float) -> bytes:
        """Give the message; raises ``TimeoutError``, or ``OSError`` where the peer is gone."""


def pieces(frame: bytes) -> Iterator[bytes]:
    """Cut a frame into messages."""
    yield LENGTH.pack(len(frame)) + frame[:MESSAGE_BYTES]
    for start in range(MESSAGE_BYTES, len(frame), MESSAGE_BYTES):
        yield frame[start : start + MESSAGE_BYTES]


def announced(first: bytes, limit_bytes: int) -> int:
    """Read a frame's length from its first message; ``OSError`` where it is more than ``limit_bytes``."""
    if len(first) < LENGTH.size:
        raise OSError("a frame begins with fewer bytes than its length takes")
    length = int(LENGTH.unpack_from(first)[0])
    if length > limit_bytes:
        raise OSError(f"announced a frame of {length} bytes where at most {limit_bytes} are due")
    return length


def joined(receive: Receive, deadline: float, limit_bytes: int) -> bytes:
    """Receive one frame; an announced length is checked before any of it is kept."""
    first = receive(deadline)
    length = announced(first, limit_bytes)
    if len(first) == LENGTH.size + length:
        return first[LENGTH.size :]
    frame = bytearray(memoryview(first)[LENGTH.size :])
    while len(frame) < length:
        if time.monotonic() > deadline:
            raise TimeoutError
        frame += receive(deadline)
    if len(frame) > length:
        raise OSError(f"sent {len(frame)} bytes in a frame of {length}")
    return bytes(frame)
