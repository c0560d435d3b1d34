"""Packets on their way to a party: cut in pieces, each sealed, so that a cut connection goes on where it was.

A piece is sealed with the packet's serial and size and its own number bound in: pieces of two packets, or in
another order, do not open. Memory on both sides is a piece, however large the packet.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from gridward.core.errors import InvalidInputError
from gridward.core.smpc import purposes
from gridward.core.smpc.packets import HEADER_BYTES
from gridward.core.smpc.sealing import OVERHEAD_BYTES, seal, unseal

PIECE_BYTES: Final = 1 << 20
_HEAD: Final = struct.Struct("<16sQI")
"""Serial, bytes of the whole packet, number of the piece; the sealed piece follows."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a piece belongs: packet by serial and size in bytes, and its number from 0."""

    serial: bytes
    packet_bytes: int
    at: int

    @property
    def begins(self) -> int:
        """The first byte of the piece within the packet."""
        return self.at * PIECE_BYTES

    @property
    def piece_bytes(self) -> int:
        """How long the piece is: all are full but the last."""
        return min(PIECE_BYTES, self.packet_bytes - self.begins)

    @property
    def is_last(self) -> bool:
        """Whether the packet ends with this piece."""
        return self.begins + self.piece_bytes == self.packet_bytes

    def purpose(self, deployment_id: str, party: int) -> str:
        """Give what is bound into the seal."""
        return purposes.bundle(deployment_id, party, self.serial.hex(), self.packet_bytes, self.at)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Piece:
    """A sealed piece of a packet."""

    place: Place
    sealed: bytes

    def opened(self, private_key: bytes, deployment_id: str, party: int) -> bytes:
        """Unseal it; raises ``InvalidInputError`` where it is for another party or place, or was changed."""
        return unseal(private_key, self.sealed, self.place.purpose(deployment_id, party))


def count_pieces(packet_bytes: int) -> int:
    """Say in how many pieces a packet travels."""
    return -(-packet_bytes // PIECE_BYTES)


def write_piece(place: Place, piece: bytes, recipient: bytes, deployment_id: str, party: int) -> bytes:
    """Seal a piece to a party's public key and write it with its place, for the wire."""
    head = _HEAD.pack(place.serial, place.packet_bytes, place.at)
    return head + seal(recipient, piece, place.purpose(deployment_id, party))


def wire_bytes(packet_bytes: int) -> int:
    """Say how many bytes a whole packet takes on the wire."""
    return packet_bytes + count_pieces(packet_bytes) * (_HEAD.size + OVERHEAD_BYTES)


def read_pieces(chunks: Iterable[bytes], limit_bytes: int) -> Iterator[Piece]:
    """Cut what arrives into pieces; where the bytes end within one, so do the pieces.

    ``limit_bytes`` bounds a packet. Raises ``InvalidInputError`` for what cannot be a piece.
    """
    waiting = bytearray()
    place: Place | None = None
    for chunk in chunks:
        waiting += chunk
        while True:
            if place is None and len(waiting) >= _HEAD.size:
                place = _read_place(waiting, limit_bytes)
            if place is None or len(waiting) < (end := _HEAD.size + place.piece_bytes + OVERHEAD_BYTES):
                break
            yield Piece(place, bytes(waiting[_HEAD.size : end]))
            del waiting[:end]
            place = None


def _read_place(head: bytearray, limit_bytes: int) -> Place:
    serial, packet_bytes, at = _HEAD.unpack_from(head)
    if not HEADER_BYTES <= packet_bytes <= limit_bytes or at >= count_pieces(packet_bytes):
        raise InvalidInputError(f"there is no piece {at} of a packet of {packet_bytes} bytes")
    return Place(serial, packet_bytes, at)
