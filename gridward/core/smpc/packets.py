"""Bytes that travel once: packets of the dealer and of the model owner, each naming what it belongs to."""

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from io import FileIO
from pathlib import Path
from typing import Final, Protocol

from gridward.core.errors import InvalidInputError
from gridward.core.smpc.prg import KEY_BYTES

NAME_BYTES: Final = 16
_MAGIC: Final = b"GWP1"
_HEADER: Final = struct.Struct("<4sBBB1x32s16s16s32sQ")
HEADER_BYTES: Final = _HEADER.size
_NAME: Final = struct.Struct("<Q")
_NUMBER_BITS: Final = 53
NUMBER_LIMIT: Final = 1 << _NUMBER_BITS
BATCH_LIMIT: Final = 1024


class PacketKind(IntEnum):
    """What a packet carries."""

    SETUP = 1
    PARAMETERS = 2
    QUERY = 3
    DEPLOYED = 4


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Packet:
    """One packet: a secret 32-byte seed and, for some, words that the seed does not make.

    ``digest`` names the program (QUERY) or its set-up (the others); ``deployment`` the set of masks it goes
    with, zero for parameters; ``serial`` the query, zero for the others.
    """

    kind: PacketKind
    party: int
    parties: int
    digest: str
    deployment: bytes
    serial: bytes
    seed: bytes
    body: bytes | memoryview = b""

    def __repr__(self) -> str:
        return f"Packet({self.kind.name}, party={self.party} of {self.parties}, serial={self.serial.hex()})"


class Body(Protocol):
    """The bytes of a packet behind its header, wherever they lie."""

    @property
    def size(self) -> int:
        """Say how many bytes there are."""

    def read_into(self, at: int, out: memoryview) -> None:
        """Fill ``out`` with the bytes from ``at`` on."""

    def close(self) -> None:
        """Have no more use for them; safe to call twice."""


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class BodyInMemory:
    """A body whose bytes somebody keeps in memory anyway."""

    view: memoryview

    @property
    def size(self) -> int:
        """Say how many bytes there are."""
        return len(self.view)

    def read_into(self, at: int, out: memoryview) -> None:
        """Fill ``out`` with the bytes from ``at`` on."""
        out[:] = self.view[at : at + len(out)]

    def close(self) -> None:
        """Leave the bytes to whoever keeps them."""


class BodyOnDisk:
    """A body in an open file. Used by one thread at a time."""

    __slots__ = ("_file", "size")

    def __init__(self, file: FileIO) -> None:
        self._file = file
        self.size = os.fstat(file.fileno()).st_size - HEADER_BYTES

    def __del__(self) -> None:
        self._file.close()

    def read_into(self, at: int, out: memoryview) -> None:
        """Fill ``out`` with the bytes from ``at`` on."""
        self._file.seek(HEADER_BYTES + at)
        while out:
            count = self._file.readinto(out)
            if not count:
                raise InvalidInputError("a packet ends too soon")
            out = out[count:]

    @property
    def is_closed(self) -> bool:
        """Say whether nobody reads it any more."""
        return self._file.closed

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class OpenPacket:
    """A packet whose body is read part by part."""

    header: Packet
    body: Body


def write_packet(packet: Packet, more: Sequence[memoryview] = ()) -> bytes:
    """Write a packet: header of ``HEADER_BYTES``, little-endian, then the body and ``more`` bytes of it."""
    header = write_header(packet, len(packet.body) + sum(map(len, more)))
    return b"".join([header, packet.body, *more])


def write_header(packet: Packet, body_bytes: int) -> bytes:
    """Write a packet's first ``HEADER_BYTES``; so many of its body are to follow."""
    return _HEADER.pack(
        _MAGIC,
        packet.kind,
        packet.party,
        packet.parties,
        bytes.fromhex(packet.digest),
        packet.deployment,
        packet.serial,
        packet.seed,
        body_bytes,
    )


def read_packet(data: bytes, kind: PacketKind, party: int, parties: int, digest: str) -> Packet:
    """Read a packet and refuse, by name, any that is not meant for this use; raises ``InvalidInputError``."""
    packet = parse_packet(data)
    check_packet(packet, kind, party, parties, digest)
    return packet


def check_packet(packet: Packet, kind: PacketKind, party: int, parties: int, digest: str) -> None:
    """Refuse a packet that is not meant for this use; raises ``InvalidInputError``."""
    wanted = (
        (packet.kind == kind, f"a packet of kind {packet.kind.name.lower()}, not {kind.name.lower()}"),
        (packet.parties == parties, f"a packet for {packet.parties} parties, not {parties}"),
        (packet.party == party, f"a packet for party {packet.party}, not {party}"),
        (packet.digest == digest, f"a packet of program {packet.digest}, not {digest}"),
    )
    for fits, fault in wanted:
        if not fits:
            raise InvalidInputError(fault)


def parse_packet(data: bytes) -> Packet:
    """Read a packet of any kind, with a view of its body; raises ``InvalidInputError`` for other bytes."""
    packet = parse_header(data, len(data))
    return replace(packet, body=memoryview(data)[HEADER_BYTES:])


def open_packet(data: bytes) -> OpenPacket:
    """Read a packet that lies in memory; raises as ``parse_packet``."""
    return OpenPacket(parse_header(data, len(data)), BodyInMemory(memoryview(data)[HEADER_BYTES:]))


def open_file(path: Path) -> OpenPacket:
    """Read a packet that lies on the disk; raises as ``parse_packet``."""
    file = FileIO(path)
    body = BodyOnDisk(file)
    return OpenPacket(parse_header(file.read(HEADER_BYTES), HEADER_BYTES + body.size), body)


def parse_header(head: bytes, packet_bytes: int) -> Packet:
    """Read a packet without its body from its first ``HEADER_BYTES``; raises as ``parse_packet``."""
    if len(head) < HEADER_BYTES:
        raise InvalidInputError(f"{len(head)} bytes where the header of a packet takes {HEADER_BYTES}")
    magic, kind, party, parties, digest, deployment, serial, seed, length = _HEADER.unpack_from(head)
    if magic != _MAGIC or kind not in set(PacketKind):
        raise InvalidInputError("not a packet of this version")
    if packet_bytes != HEADER_BYTES + length:
        raise InvalidInputError(f"a packet of {HEADER_BYTES + length} bytes came with {packet_bytes}")
    return Packet(PacketKind(kind), party, parties, digest.hex(), deployment, serial, seed)


def name_bundle(batch: int, number: int) -> bytes:
    """Give the first half of the serial of a query's packets: its batch size and the host's count, 8 bytes.

    The dealer fills the other half with fresh bytes, so that packets of two deals never pass for one bundle.
    """
    if not (1 <= batch <= BATCH_LIMIT and 0 <= number < NUMBER_LIMIT):
        raise InvalidInputError(f"there is no bundle {number} of batch {batch}")
    return _NAME.pack(batch << _NUMBER_BITS | number)


def named_bundle(serial: bytes) -> tuple[int, int]:
    """Give batch size and number of the bundle that a serial names."""
    (name,) = _NAME.unpack_from(serial)
    return name >> _NUMBER_BITS, name & (NUMBER_LIMIT - 1)


def empty_seed() -> bytes:
    """Fill the seed field of packets that need none."""
    return bytes(KEY_BYTES)
