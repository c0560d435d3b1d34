"""The kernels in Numba for one core. They release the GIL, so that parties and queries run side by side.

No kernel is ``parallel``: Numba's default pool aborts the process when two threads enter it at once, and
services call these from several.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gridward.core.smpc.kernels import gemm
from gridward.core.smpc.kernels.target import compiled
from gridward.core.smpc.ring import HEADROOM_BITS, BitArray, RingArray, packed_bytes


@compiled("void(u8[::1], u8[::1], u8[::1], u8, u8, b1, u8, u8[::1], u8[::1], u8[::1])")
def _truncate(
    opened: RingArray,
    high: RingArray,
    carry: RingArray,
    shift: int,
    offset: int,
    first: bool,
    ring_bits: int,
    public: RingArray,
    coefficient: RingArray,
    share: RingArray,
) -> None:
    one = np.uint64(1)
    top = np.uint64(ring_bits - one)
    reach = np.uint64(ring_bits - shift)
    keep = ((one << top) - one) | (one << top)
    for i in range(opened.size):
        reduced = opened[i] & keep
        public[i] = (reduced >> shift) - offset
        coefficient[i] = (one - (reduced >> top)) << reach
        share[i] = coefficient[i] * carry[i] - high[i] + (public[i] if first else np.uint64(0))


@compiled("void(u8[::1], u8[::1], u8, u8, u1[::1], u1[::1])")
def _look_up(
    words: RingArray, table: RingArray, low: int, size: int, less: BitArray, equal: BitArray
) -> None:
    one = np.uint64(1)
    keep = (one << size) - one
    for i in range(words.size):
        block = (words[i] >> low) & keep
        held = table[i] >> block
        above = held >> one
        for fold in (32, 16, 8, 4, 2, 1):
            above ^= above >> np.uint64(fold)
        equal[i >> 3] |= np.uint8((held & one) << np.uint64(i & 7))
        less[i >> 3] |= np.uint8((above & one) << np.uint64(i & 7))


@compiled("void(u1[:,::1], u1[:,::1], i8[::1], i8[::1], u1[::1])")
def _expand(
    opened: BitArray,
    basis: BitArray,
    rows: NDArray[np.int64],
    factors: NDArray[np.int64],
    out: BitArray,
) -> None:
    for entry in range(rows.size):
        for i in range(out.size):
            product = basis[rows[entry], i]
            for variable in range(opened.shape[0]):
                if factors[entry] >> variable & 1:
                    product &= opened[variable, i]
            out[i] ^= product


@compiled("void(u8[::1], u8[::1], u8[::1], u8[::1], u1[::1], u8[::1])")
def _select(
    share: RingArray, public: RingArray, beta: RingArray, hidden: RingArray, flips: BitArray, out: RingArray
) -> None:
    for i in range(share.size):
        product = beta[i] * public[i] - hidden[i]
        out[i] = product if (flips[i >> 3] >> (i & 7)) & 1 else share[i] - product


matmul = gemm.matmul
multiply = gemm.multiply
fix = gemm.Fixed


def truncate(
    opened: RingArray, high: RingArray, carry: RingArray, shift: int, first: bool, ring_bits: int
) -> tuple[RingArray, RingArray, RingArray]:
    """Truncate with a public coin; see ``Kernels.truncate``."""
    public, coefficient, share = np.empty_like(opened), np.empty_like(opened), np.empty_like(opened)
    offset = 1 << (ring_bits - HEADROOM_BITS - shift)
    _truncate(opened, high, carry, shift, offset, first, ring_bits, public, coefficient, share)
    return public, coefficient, share


def look_up(
    words: RingArray, tables: Sequence[NDArray[np.unsignedinteger]], lows: Sequence[int], bits: Sequence[int]
) -> tuple[BitArray, BitArray]:
    """Compare blocks; see ``Kernels.look_up``."""
    less = np.zeros((len(tables), packed_bytes(words.size)), dtype=np.uint8)
    equal = np.zeros_like(less)
    for at, (table, low, size) in enumerate(zip(tables, lows, bits, strict=True)):
        _look_up(words, table.astype(np.uint64), low, size, less[at], equal[at])
    return less, equal


def expand(
    opened: BitArray, basis: BitArray, rows: NDArray[np.int64], factors: NDArray[np.int64]
) -> BitArray:
    """Expand a product of masked bits; see ``Kernels.expand``."""
    out = np.zeros(opened.shape[1], dtype=np.uint8)
    _expand(np.ascontiguousarray(opened), np.ascontiguousarray(basis), rows, factors, out)
    return out


def select(
    share: RingArray, public: RingArray, beta: RingArray, hidden: RingArray, flips: BitArray
) -> RingArray:
    """Select by a masked bit; see ``Kernels.select``."""
    out = np.empty_like(share)
    _select(share, public, beta, hidden, flips, out)
    return out
