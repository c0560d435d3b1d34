"""The kernels in plain NumPy: what every other implementation must equal, word for word."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gridward.core.smpc.ring import (
    HEADROOM_BITS,
    BitArray,
    RingArray,
    pack_bits,
    unpack_bits,
    word,
)


def matmul(a: RingArray, b: RingArray) -> RingArray:
    """Multiply two matrices; see ``Kernels.matmul``."""
    return a @ b


def truncate(
    opened: RingArray, high: RingArray, carry: RingArray, shift: int, first: bool, ring_bits: int
) -> tuple[RingArray, RingArray, RingArray]:
    """Truncate with a public coin; see ``Kernels.truncate``."""
    reduced = opened & word((1 << ring_bits) - 1)
    public = (reduced >> np.uint64(shift)) - word(1 << (ring_bits - HEADROOM_BITS - shift))
    unwrapped = np.uint64(1) - (reduced >> np.uint64(ring_bits - 1))
    coefficient = unwrapped << np.uint64(ring_bits - shift)
    share = coefficient * carry - high
    return public, coefficient, share + public if first else share


def look_up(
    words: RingArray, tables: Sequence[NDArray[np.unsignedinteger]], lows: Sequence[int], bits: Sequence[int]
) -> tuple[BitArray, BitArray]:
    """Compare blocks; see ``Kernels.look_up``."""
    less, equal = [], []
    for table, low, size in zip(tables, lows, bits, strict=True):
        block = (words >> np.uint64(low)) & word((1 << size) - 1)
        held = table.astype(np.uint64)
        equal.append(pack_bits(((held >> block) & np.uint64(1)).astype(np.bool_)))
        above = (held >> block) >> np.uint64(1)
        above &= word((1 << ((1 << size) - 1)) - 1)
        less.append(pack_bits((np.bitwise_count(above) & 1).astype(np.bool_)))
    return np.stack(less), np.stack(equal)


def expand(
    opened: BitArray, basis: BitArray, rows: NDArray[np.int64], factors: NDArray[np.int64]
) -> BitArray:
    """Expand a product of masked bits; see ``Kernels.expand``."""
    total = np.zeros(opened.shape[1], dtype=np.uint8)
    for row, factor in zip(rows, factors, strict=True):
        chosen = [at for at in range(opened.shape[0]) if int(factor) >> at & 1]
        total ^= np.bitwise_and.reduce(opened[chosen], axis=0) & basis[row] if chosen else basis[row]
    return total


def select(
    share: RingArray, public: RingArray, beta: RingArray, hidden: RingArray, flips: BitArray
) -> RingArray:
    """Select by a masked bit; see ``Kernels.select``."""
    product = beta * public - hidden
    return np.where(unpack_bits(flips, share.size), product, share - product)


def read_table(hot: RingArray, places: RingArray, columns: RingArray) -> BitArray:
    """Read tables at shared places; see ``Kernels.read_table``."""
    count, words = hot.shape
    rows, far, near = np.arange(count), (places >> np.uint64(6)).astype(np.int64), places & np.uint64(63)
    held = np.zeros((len(columns), count), dtype=np.uint64)
    for at in range(words):
        upper, lower = hot[rows, (at - far) % words], hot[rows, (at - far - 1) % words]
        turned = (upper << near) | ((lower >> np.uint64(1)) >> (np.uint64(63) - near))
        held ^= turned & columns[:, at, None]
    return pack_bits((np.bitwise_count(held) & 1).astype(np.bool_))


def weigh_bits(opened: BitArray, shares: RingArray, value: RingArray) -> RingArray:
    """Turn masked bits into words; see ``Kernels.weigh_bits``."""
    total = np.zeros_like(value)
    for at, bits in enumerate(unpack_bits(opened, value.size)):
        total += np.where(bits, value - shares[at], shares[at]) << np.uint64(at)
    return total
