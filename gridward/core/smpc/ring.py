"""Integers modulo 2^64: the array type, its signed view and its bytes. The only module that says 64."""

from collections.abc import Sequence
from math import prod
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gridward.core.errors import InvalidInputError

RingArray: TypeAlias = NDArray[np.uint64]
SignedArray: TypeAlias = NDArray[np.int64]
BitArray: TypeAlias = NDArray[np.uint8]
"""Bits packed eight to a byte, the first one lowest; the last byte is padded."""

RING_BITS: Final = 64
WORD_BYTES: Final = RING_BITS // 8
HEADROOM_BITS: Final = 2
"""A value that is to be truncated lies strictly between -2^(RING_BITS - HEADROOM_BITS) and its negative."""

WIRE_WORD: Final = np.dtype("<u8")
"""A word on the wire and in files."""


def signed(words: RingArray) -> SignedArray:
    """Read ring words as two's complement; no copy."""
    return words.view(np.int64)


def unsigned(values: SignedArray) -> RingArray:
    """Read two's complement integers as ring words; no copy."""
    return values.view(np.uint64)


def word(value: int) -> np.uint64:
    """Reduce a Python integer, negative ones too, to a ring word."""
    return np.uint64(value % (1 << RING_BITS))


def to_bytes(words: RingArray) -> bytes:
    """Write words row by row, little-endian, eight bytes each."""
    return words.astype(WIRE_WORD, order="C", copy=False).tobytes()


def as_bytes(words: RingArray) -> memoryview:
    """Write words as ``to_bytes`` does, as a view of them where the machine is little-endian too."""
    return words.astype(WIRE_WORD, order="C", copy=False).reshape(-1).data.cast("B")


def view_bytes(data: bytes | bytearray | memoryview, shape: Sequence[int]) -> RingArray:
    """Read what ``to_bytes`` wrote to be read only: a view where the machine is little-endian too.

    Raises ``InvalidInputError`` where the length does not fit the shape.
    """
    wanted = prod(shape) * WORD_BYTES
    if len(data) != wanted:
        raise InvalidInputError(f"{len(data)} bytes where ring words of shape {tuple(shape)} take {wanted}")
    words = np.frombuffer(data, dtype=WIRE_WORD).astype(np.uint64, copy=False).reshape(tuple(shape))
    words.setflags(write=False)
    return words


def from_bytes(data: bytes | bytearray | memoryview, shape: Sequence[int]) -> RingArray:
    """Read what ``to_bytes`` wrote; raises ``InvalidInputError`` where the length does not fit the shape."""
    return view_bytes(data, shape).copy()


def take_bytes(data: bytes | bytearray | memoryview, shape: Sequence[int]) -> RingArray:
    """Read as ``from_bytes`` does bytes that nobody else needs: in their place, where words can lie there."""
    words = view_bytes(data, shape)
    if memoryview(data).readonly or not words.flags.aligned:
        return words.copy()
    words.setflags(write=True)
    return words


def packed_bytes(count: int) -> int:
    """Say how many bytes hold ``count`` packed bits."""
    return (count + 7) // 8


def pack_bits(bits: NDArray[np.bool_]) -> BitArray:
    """Pack the last axis of an array of truth values, the first bit lowest."""
    return np.packbits(bits, axis=-1, bitorder="little")


def unpack_bits(packed: BitArray, count: int) -> NDArray[np.bool_]:
    """Give back the first ``count`` bits along the last axis."""
    return np.unpackbits(packed, axis=-1, count=count, bitorder="little").view(np.bool_)
