"""Frames as binary messages of bounded size: what WebSockets carry between parties, and to them.

A frame travels as one or more messages of at most ``MESSAGE_BYTES``; the first begins with the frame's length
(8 bytes, little-endian).
"""

import struct
import time
from collections.abc import Iterator
from typing import Final, Protocol, TypeAlias

import numpy as np

MESSAGE_BYTES: Final = 1 << 20
LENGTH: Final = struct.Struct("<Q")
LONGEST_MESSAGE_BYTES: Final = MESSAGE_BYTES + LENGTH.size


Frame: TypeAlias = bytes | bytearray | memoryview


def empty(count: int) -> memoryview:
    """Give room for a long frame: not zeroed, and in large pages where the system has them."""
    return np.empty(count, dtype=np.uint8).data


class Receive(Protocol):
    """Waits for one message until a deadline on the monotonic clock."""

    def __call__(self, deadline: float) -> bytes:
        """Give the message; raises ``TimeoutError``, or ``OSError`` where the peer is gone."""


def pieces(*parts: Frame) -> Iterator[bytes]:
    """Cut a frame, given in parts, into messages; each of its bytes is copied once."""
    message = [memoryview(LENGTH.pack(sum(map(len, parts))))]
    room = MESSAGE_BYTES
    for part in parts:
        rest = memoryview(part)
        while len(rest) > room:
            yield b"".join((*message, rest[:room]))
            message, rest, room = [], rest[room:], MESSAGE_BYTES
        message.append(rest)
        room -= len(rest)
    yield b"".join(message)


def announced(first: bytes, limit_bytes: int) -> int:
    """Read a frame's length from its first message; ``OSError`` where it is more than ``limit_bytes``."""
    if len(first) < LENGTH.size:
        raise OSError("a frame begins with fewer bytes than its length takes")
    length = int(LENGTH.unpack_from(first)[0])
    if length > limit_bytes:
        raise OSError(f"announced a frame of {length} bytes where at most {limit_bytes} are due")
    return length


def joined(receive: Receive, deadline: float, limit_bytes: int) -> Frame:
    """Receive one frame; an announced length is checked before any of it is kept."""
    first = receive(deadline)
    length = announced(first, limit_bytes)
    if len(first) == LENGTH.size + length:
        return first[LENGTH.size :]
    frame = Incoming(length, memoryview(first)[LENGTH.size :])
    while frame.left:
        if time.monotonic() > deadline:
            raise TimeoutError
        frame.add(receive(deadline))
    return frame.content


class Incoming:
    """A frame of a known length that comes message by message, in memory that is taken once."""

    def __init__(self, length: int, begun: Frame) -> None:
        self.content = empty(length)
        self.left = length
        self.add(begun)

    def add(self, message: Frame) -> None:
        """Keep the next bytes; raises ``OSError`` for more than were announced."""
        if len(message) > self.left:
            more = len(message) - self.left
            raise OSError(f"sent {len(self.content) + more} bytes in a frame of {len(self.content)}")
        at = len(self.content) - self.left
        self.content[at : at + len(message)] = message
        self.left -= len(message)
