"""The kernels in Numba for one core. They release the GIL, so that parties and queries run side by side.

No kernel is ``parallel``: Numba's default pool aborts the process when two threads enter it at once, and
services call these from several.
"""

from collections.abc import Sequence

import numba as nb
import numpy as np
from numpy.typing import NDArray

from gridward.core.smpc.ring import HEADROOM_BITS, BitArray, RingArray, packed_bytes


@nb.njit("void(u8[:,::1], u8[:,::1], u8[:,::1])", cache=True, nogil=True)
def _matmul(a: RingArray, b: RingArray, out: RingArray) -> None:
    blocked = a.shape[1] - a.shape[1] % 8
    for i in range(a.shape[0]):
        row = out[i]
        for k in range(0, blocked, 8):
            a0, a1, a2, a3 = a[i, k], a[i, k + 1], a[i, k + 2], a[i, k + 3]
            a4, a5, a6, a7 = a[i, k + 4], a[i, k + 5], a[i, k + 6], a[i, k + 7]
            for j in range(b.shape[1]):
                row[j] += (
                    a0 * b[k, j]
                    + a1 * b[k + 1, j]
                    + a2 * b[k + 2, j]
                    + a3 * b[k + 3, j]
                    + a4 * b[k + 4, j]
                    + a5 * b[k + 5, j]
                    + a6 * b[k + 6, j]
                    + a7 * b[k + 7, j]
                )
        for k in range(blocked, a.shape[1]):
            for j in range(b.shape[1]):
                row[j] += a[i, k] * b[k, j]


@nb.njit("void(u8[::1], u8[::1], u8[::1], u8, u8, b1, u8, u8[::1], u8[::1], u8[::1])", cache=True, nogil=True)
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


@nb.njit("void(u8[::1], u8[::1], u8, u8, u1[::1], u1[::1])", cache=True, nogil=True)
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


@nb.njit("void(u1[:,::1], u1[:,::1], i8[::1], i8[::1], u1[::1])", cache=True, nogil=True)
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


@nb.njit("void(u8[::1], u8[::1], u8[::1], u8[::1], u1[::1], u8[::1])", cache=True, nogil=True)
def _select(
    share: RingArray, public: RingArray, beta: RingArray, hidden: RingArray, flips: BitArray, out: RingArray
) -> None:
    for i in range(share.size):
        product = beta[i] * public[i] - hidden[i]
        out[i] = product if (flips[i >> 3] >> (i & 7)) & 1 else share[i] - product


@nb.njit("void(u8[:,::1], u8[::1], u8[:,::1], u1[:,::1])", cache=True, nogil=True)
def _read_table(hot: RingArray, places: RingArray, columns: RingArray, out: BitArray) -> None:
    words = hot.shape[1]
    turned = np.empty(words, dtype=np.uint64)
    for i in range(places.size):
        far, near = np.int64(places[i] >> np.uint64(6)), places[i] & np.uint64(63)
        for at in range(words):
            upper, lower = hot[i, (at - far) & (words - 1)], hot[i, (at - far - 1) & (words - 1)]
            turned[at] = (upper << near) | ((lower >> np.uint64(1)) >> (np.uint64(63) - near))
        for column in range(columns.shape[0]):
            held = np.uint64(0)
            for at in range(words):
                held ^= turned[at] & columns[column, at]
            for fold in (32, 16, 8, 4, 2, 1):
                held ^= held >> np.uint64(fold)
            out[column, i >> 3] |= np.uint8((held & np.uint64(1)) << np.uint64(i & 7))


@nb.njit("void(u1[:,::1], u8[:,::1], u8[::1], u8[::1])", cache=True, nogil=True)
def _weigh_bits(opened: BitArray, shares: RingArray, value: RingArray, out: RingArray) -> None:
    for at in range(shares.shape[0]):
        for i in range(out.size):
            share = shares[at, i]
            chosen = value[i] - share if (opened[at, i >> 3] >> (i & 7)) & 1 else share
            out[i] += chosen << np.uint64(at)


def matmul(a: RingArray, b: RingArray) -> RingArray:
    """Multiply two matrices; see ``Kernels.matmul``."""
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        raise ValueError(f"cannot multiply {a.shape} by {b.shape}")
    out = np.zeros((a.shape[0], b.shape[1]), dtype=np.uint64)
    _matmul(np.ascontiguousarray(a), np.ascontiguousarray(b), out)
    return out


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


def read_table(hot: RingArray, places: RingArray, columns: RingArray) -> BitArray:
    """Read tables at shared places; see ``Kernels.read_table``."""
    out = np.zeros((len(columns), packed_bytes(places.size)), dtype=np.uint8)
    _read_table(np.ascontiguousarray(hot), places, _own(columns), out)
    return out


def weigh_bits(opened: BitArray, shares: RingArray, value: RingArray) -> RingArray:
    """Turn masked bits into words; see ``Kernels.weigh_bits``."""
    out = np.zeros_like(value)
    _weigh_bits(np.ascontiguousarray(opened), np.ascontiguousarray(shares), value, out)
    return out


def _own(array: RingArray) -> RingArray:
    """Copy what is read-only: the kernels' signatures take arrays that may be written."""
    return array if array.flags.writeable else array.copy()
