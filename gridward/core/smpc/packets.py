"""Bytes that travel once: packets of the dealer and of the model owner, each naming what it belongs to."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from gridward.core.errors import InvalidInputError
from gridward.core.smpc.prg import KEY_BYTES

NAME_BYTES: Final = 16
_MAGIC: Final = b"GWP1"
_HEADER: Final = struct.Struct("<4sBBB1x32s16s16s32sQ")
HEADER_BYTES: Final = _HEADER.size


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
    body: bytes = b""

    def __repr__(self) -> str:
        return f"Packet({self.kind.name}, party={self.party} of {self.parties}, serial={self.serial.hex()})"


def write_packet(packet: Packet, more: Sequence[memoryview] = ()) -> bytes:
    """Write a packet: header of ``HEADER_BYTES``, little-endian, then the body and ``more`` bytes of it."""
    header = _HEADER.pack(
        _MAGIC,
        packet.kind,
        packet.party,
        packet.parties,
        bytes.fromhex(packet.digest),
        packet.deployment,
        packet.serial,
        packet.seed,
        len(packet.body) + sum(map(len, more)),
    )
    return b"".join([header, packet.body, *more])


def read_packet(data: bytes, kind: PacketKind, party: int, parties: int, digest: str) -> Packet:
    """Read a packet and refuse, by name, any that is not meant for this use; raises ``InvalidInputError``."""
    packet = parse_packet(data)
    wanted = (
        (packet.kind == kind, f"a packet of kind {packet.kind.name.lower()}, not {kind.name.lower()}"),
        (packet.parties == parties, f"a packet for {packet.parties} parties, not {parties}"),
        (packet.party == party, f"a packet for party {packet.party}, not {party}"),
        (packet.digest == digest, f"a packet of program {packet.digest}, not {digest}"),
    )
    for fits, fault in wanted:
        if not fits:
            raise InvalidInputError(fault)
    return packet


def parse_packet(data: bytes) -> Packet:
    """Read a packet of any kind; raises ``InvalidInputError`` where the bytes are not one."""
    if len(data) < HEADER_BYTES:
        raise InvalidInputError(f"{len(data)} bytes where the header of a packet takes {HEADER_BYTES}")
    magic, kind, party, parties, digest, deployment, serial, seed, length = _HEADER.unpack_from(data)
    if magic != _MAGIC or kind not in set(PacketKind):
        raise InvalidInputError("not a packet of this version")
    if len(data) != HEADER_BYTES + length:
        raise InvalidInputError(f"a packet of {HEADER_BYTES + length} bytes came with {len(data)}")
    body = data[HEADER_BYTES:]
    return Packet(PacketKind(kind), party, parties, digest.hex(), deployment, serial, seed, body)


def empty_seed() -> bytes:
    """Fill the seed field of packets that need none."""
    return bytes(KEY_BYTES)
