"""The kernels in plain NumPy: what every other implementation must equal, word for word."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gridward.core.smpc.kernels.seam import Gather, Operand
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


@dataclass(frozen=True, slots=True, eq=False)
class Words:
    """A fixed operand as it is."""

    rows: RingArray


def fix(rows: RingArray) -> Words:
    """Prepare a fixed operand; see ``Kernels.fix``."""
    return Words(rows)


def multiply(operand: Operand, words: RingArray, gather: Gather, out: RingArray) -> None:
    """Add a product of gathered columns; see ``Kernels.multiply``."""
    columns = gather.taps[:, None] + gather.places[None, :]
    for group, rows in enumerate(operand.rows):
        lines = np.arange(len(rows))[:, None] * gather.row_stride + gather.targets[None, :]
        out[gather.outs[group] + lines] += rows @ words[gather.starts[group] + columns]


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
