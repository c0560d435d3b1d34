"""Kernels of look-ups: bits of tables at shared places, and masked bits as words."""

from typing import Final

import numpy as np

from gridward.core.smpc.kernels.target import compiled
from gridward.core.smpc.ring import BitArray, RingArray, packed_bytes

_CHUNK: Final = 1024
"""Elements whose sums stay in the nearest cache while all bits are added."""


@compiled("void(u8[:,::1], u8[::1], u8[:,::1], u1[:,::1])")
def _read_table(hot: RingArray, places: RingArray, columns: RingArray, out: BitArray) -> None:
    words = hot.shape[1]
    turned = np.empty(words, dtype=np.uint64)
    one, last = np.uint64(1), np.uint64(63)
    for i in range(places.size):
        far, near = np.int64(places[i] >> np.uint64(6)), places[i] & last
        for at in range(words):
            upper, lower = hot[i, (at - far) & (words - 1)], hot[i, (at - far - 1) & (words - 1)]
            turned[at] = (upper << near) | ((lower >> one) >> (last - near))
        for column in range(columns.shape[0]):
            held = np.uint64(0)
            for at in range(words):
                held ^= turned[at] & columns[column, at]
            for fold in (32, 16, 8, 4, 2, 1):
                held ^= held >> np.uint64(fold)
            out[column, i >> 3] |= np.uint8((held & one) << np.uint64(i & 7))


@compiled("void(u1[:,::1], u8[:,::1], u8[::1], u8[::1])")
def _weigh_bits(opened: BitArray, shares: RingArray, value: RingArray, out: RingArray) -> None:
    one, zero = np.uint64(1), np.uint64(0)
    whole = out.size - out.size % 8
    for first in range(0, whole, _CHUNK):
        last = min(whole, first + _CHUNK)
        for at in range(shares.shape[0]):
            weight, row, bits = np.uint64(at), shares[at], opened[at]
            for start in range(first, last, 8):
                byte = np.uint64(bits[start >> 3])
                for lane in range(8):
                    share = row[start + lane]
                    kept = zero - ((byte >> np.uint64(lane)) & one)
                    # without a branch: value - share where the bit is set, share where not
                    out[start + lane] += (share + (kept & (value[start + lane] - share - share))) << weight
    for i in range(whole, out.size):
        for at in range(shares.shape[0]):
            kept = zero - (np.uint64(opened[at, i >> 3] >> np.uint8(i & 7)) & one)
            out[i] += (shares[at, i] + (kept & (value[i] - shares[at, i] - shares[at, i]))) << np.uint64(at)


def read_table(hot: RingArray, places: RingArray, columns: RingArray) -> BitArray:
    """Read tables at shared places; see ``Kernels.read_table``."""
    out = np.zeros((len(columns), packed_bytes(places.size)), dtype=np.uint8)
    # the signature takes arrays that may be written, and tables may not
    own = columns if columns.flags.writeable else columns.copy()
    _read_table(np.ascontiguousarray(hot), places, own, out)
    return out


def weigh_bits(opened: BitArray, shares: RingArray, value: RingArray) -> RingArray:
    """Turn masked bits into words; see ``Kernels.weigh_bits``."""
    out = np.zeros_like(value)
    _weigh_bits(np.ascontiguousarray(opened), np.ascontiguousarray(shares), value, out)
    return out
