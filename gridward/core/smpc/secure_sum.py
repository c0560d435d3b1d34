"""Sums over several contributors: the asker learns the total, and nobody else anything.

Each contributor writes its numbers as ring words and splits them additively among the aggregators: all but
the first get a 32-byte seed, the first what is left. Aggregators add up what they hold; their sums add up to
the total. Security: information-theoretic but for the seeds' expansion (ChaCha20), against any set of
aggregators that lacks one. This is the plain additive scheme of Bonawitz et al. 2017 without its pairwise
masks: helpers stand in for them, and a contributor that never came leaves nothing behind.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gridward.core.errors import InvalidInputError, OutOfRangeError
from gridward.core.smpc import fixed_point
from gridward.core.smpc.prg import KEY_BYTES, Entropy, Prg
from gridward.core.smpc.ring import (
    HEADROOM_BITS,
    RING_BITS,
    RingArray,
    from_bytes,
    signed,
    to_bytes,
    unsigned,
)

Numbers: TypeAlias = NDArray[np.float64] | NDArray[np.int64]

_STREAM: Final = 0


@dataclass(frozen=True, slots=True)
class Layout:
    """Where one output lies among the words: integers as they are, reals in fixed point."""

    integer: bool
    shape: tuple[int, ...]

    @property
    def words(self) -> int:
        """How many words it takes."""
        return prod(self.shape)


def bits_of_one(contributors: int) -> int:
    """Bits, with the sign, that one contributor's integer may have so that no total wraps around."""
    return RING_BITS - HEADROOM_BITS + 1 - (contributors - 1).bit_length()


def pack(values: Sequence[NDArray[Any]], fraction_bits: int, contributors: int) -> RingArray:
    """Write arrays one after the other as words: integers as they are, reals at ``fraction_bits``.

    Raises ``OutOfRangeError`` for NaN, infinities and what could make a total wrap around; the message does
    not tell the value, which the asker is not to learn.
    """
    bits = bits_of_one(contributors)
    return np.concatenate([_words(np.ravel(value), fraction_bits, bits) for value in values])


def unpack(words: RingArray, layouts: Sequence[Layout], fraction_bits: int) -> list[Numbers]:
    """Read a total: the inverse of ``pack``, up to rounding of each contributor's reals."""
    values: list[Numbers] = []
    start = 0
    for layout in layouts:
        part = words[start : start + layout.words].copy()
        flat = signed(part) if layout.integer else fixed_point.decode(part, fraction_bits)
        values.append(flat.reshape(layout.shape))
        start += layout.words
    return values


def split(words: RingArray, aggregators: int, entropy: Entropy) -> list[bytes]:
    """Split words into one packet for each of ``aggregators`` >= 2; all but one of them tell nothing.

    The first packet has 8 bytes a word, each other one is a seed of 32 bytes.
    """
    if aggregators < 2:
        raise InvalidInputError("one aggregator alone would see the values: a secure sum needs two")
    seeds = [entropy(KEY_BYTES) for _ in range(aggregators - 1)]
    masks = [Prg(seed).words(_STREAM, words.size) for seed in seeds]
    return [to_bytes(words - add_up(masks)), *seeds]


def share_of(packet: bytes, position: int, count: int) -> RingArray:
    """Read the packet for the aggregator at ``position`` as its ``count`` words.

    Raises ``InvalidInputError`` where its length is another.
    """
    if position == 0:
        return from_bytes(packet, (count,))
    if len(packet) != KEY_BYTES:
        raise InvalidInputError(f"a seed has {KEY_BYTES} bytes, not {len(packet)}")
    return Prg(packet).words(_STREAM, count)


def add_up(shares: Sequence[RingArray]) -> RingArray:
    """Add words, modulo 2^64, one by one."""
    total = shares[0].copy()
    for share in shares[1:]:
        total += share
    return total


def _words(values: NDArray[Any], fraction_bits: int, bits: int) -> RingArray:
    if np.issubdtype(values.dtype, np.integer):
        limit = 1 << (bits - 1)
        whole = values.astype(np.int64)
        if np.any(whole >= limit) or np.any(whole <= -limit):
            raise OutOfRangeError(f"an integer is beyond ±{limit}, the range of this secure sum")
        return unsigned(whole)
    try:
        return fixed_point.encode(values, fraction_bits, bits)
    except OutOfRangeError:
        limit = 1 << (bits - 1 - fraction_bits)
        raise OutOfRangeError(
            f"a number is beyond ±{limit:.2g}, the range of this secure sum, or not finite; "
            "ask with fewer fraction_bits, or in a larger unit"
        ) from None
