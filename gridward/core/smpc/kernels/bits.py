"""Kernels on packed bits: the comparison of public words with shared ones, one pass for each of its steps."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gridward.core.smpc.kernels.bit_intrinsics import (
    LANES,
    compare_8,
    compare_16,
    compare_32,
    compare_64,
    pack,
)
from gridward.core.smpc.kernels.seam import Merging, Places, Table
from gridward.core.smpc.kernels.target import compiled, compiled_late
from gridward.core.smpc.ring import BitArray, RingArray, packed_bytes

MOST_BLOCKS: Final = 16
"""A comparison of words has no more: blocks of two levels have 4 bits."""

_NONE: Final = np.zeros(0, dtype=np.uint8)
_CHUNK: Final = 4096
_WORD_BYTES: Final = 8


@compiled_late
def _address(array: NDArray[Any]) -> np.uint64:
    """Say where an array lies; a caller keeps the array alive."""
    return np.uint64(array.ctypes.data)


@compiled_late
def _compare(
    words: np.uint64, table: np.uint64, less: np.uint64, equal: np.uint64, low: int, size: int
) -> None:
    """Compare 64 blocks, in tables as wide as ``_table_bytes`` says."""
    one = np.uint64(1)
    ones = (one << np.uint64(size)) - one
    width = one << np.uint64(size)
    valid = ~np.uint64(0) >> (np.uint64(64) - width)
    start = np.uint64(low)
    if size <= 3:
        compare_8(words, table, less, equal, start, ones, valid)
    elif size == 4:
        compare_16(words, table, less, equal, start, ones, valid)
    elif size == 5:
        compare_32(words, table, less, equal, start, ones, valid)
    else:
        compare_64(words, table, less, equal, start, ones, valid)


@compiled_late
def _table_bytes(size: int) -> int:
    """Say how many bytes hold a table of 2^size bits."""
    return 1 << max(0, size - 3)


@compiled("void(u8[::1], UniTuple(u1[::1], 16), i8[::1], i8[::1], u1[:,::1], u1[::1])")
def _look_up(
    words: RingArray,
    tables: tuple[BitArray, ...],
    lows: Places,
    sizes: Places,
    out: BitArray,
    scratch: BitArray,
) -> None:
    blocks, whole = lows.size, words.size - words.size % LANES
    starts = np.empty(blocks, dtype=np.uint64)
    for at in range(blocks):
        starts[at] = _address(tables[at])
    for first in range(0, whole, LANES):
        source = _address(words) + np.uint64(first * _WORD_BYTES)
        for at in range(blocks):
            table = starts[at] + np.uint64(first * _table_bytes(sizes[at]))
            less = _address(out) + np.uint64(at * out.shape[1] + first // 8)
            equal = less + np.uint64(blocks * out.shape[1])
            _compare(source, table, less, equal, lows[at], sizes[at])
    left = words.size - whole
    if left:
        base = _address(scratch)
        public = scratch[: LANES * _WORD_BYTES].view(np.uint64)
        public[:left] = words[whole:]
        for at in range(blocks):
            width = _table_bytes(sizes[at])
            padded = scratch[LANES * _WORD_BYTES : 2 * LANES * _WORD_BYTES]
            padded[: left * width] = tables[at][whole * width :]
            padded[left * width :] = 0
            table, less = base + np.uint64(512), base + np.uint64(1024)
            _compare(base, table, less, less + np.uint64(_WORD_BYTES), lows[at], sizes[at])
            for byte in range((left + 7) // 8):
                out[at, whole // 8 + byte] = scratch[1024 + byte]
                out[blocks + at, whole // 8 + byte] = scratch[1032 + byte]


@compiled("void(u1[:,::1], i8[::1], u1[:,::1], i8[::1], u1[:,::1])")
def _hide(bits: BitArray, picks: Places, basis: BitArray, masks: Places, out: BitArray) -> None:
    for at in range(picks.size):
        picked, mask, row = bits[picks[at]], basis[masks[at]], out[at]
        for byte in range(row.size):
            row[byte] = picked[byte] ^ mask[byte]


@compiled("void(u1[:,::1], u1[:,::1], u1[:,::1], i8[::1], i8[::1], i8[::1], i8[::1], u1[:,::1])")
def _merge(
    opened: BitArray,
    basis: BitArray,
    bits: BitArray,
    tops: Places,
    rows: Places,
    factors: Places,
    outs: Places,
    out: BitArray,
) -> None:
    product = np.empty(_CHUNK, dtype=np.uint8)
    for first in range(0, out.shape[1], _CHUNK):
        width = min(_CHUNK, out.shape[1] - first)
        for group in range(tops.size):
            out[group, first : first + width] = bits[tops[group], first : first + width]
        out[tops.size :, first : first + width] = 0
        for entry in range(rows.size):
            mask = basis[rows[entry], first : first + width]
            for byte in range(width):
                product[byte] = mask[byte]
            for variable in range(opened.shape[0]):
                if factors[entry] >> variable & 1:
                    known = opened[variable, first : first + width]
                    for byte in range(width):
                        product[byte] &= known[byte]
            total = out[outs[entry], first : first + width]
            for byte in range(width):
                total[byte] ^= product[byte]


@compiled("void(u8[::1], u8, u1[::1], u1[::1])")
def _pack_bit(words: RingArray, bit: int, out: BitArray, scratch: BitArray) -> None:
    whole = words.size - words.size % LANES
    for first in range(0, whole, LANES):
        source = _address(words) + np.uint64(first * _WORD_BYTES)
        pack(source, np.uint64(bit), _address(out) + np.uint64(first // 8))
    left = words.size - whole
    if left:
        public = scratch[: LANES * _WORD_BYTES].view(np.uint64)
        public[:left] = words[whole:]
        public[left:] = 0
        pack(_address(scratch), np.uint64(bit), _address(scratch) + np.uint64(1024))
        for byte in range((left + 7) // 8):
            out[whole // 8 + byte] = scratch[1024 + byte]


def _scratch() -> BitArray:
    """Give room for 64 words, as many tables, and two words of bits."""
    return np.zeros(1040, dtype=np.uint8)


def look_up(words: RingArray, tables: Sequence[Table], lows: Places, bits: Places) -> BitArray:
    """Compare blocks; see ``Kernels.look_up``."""
    out = np.empty((2 * len(tables), packed_bytes(words.size)), dtype=np.uint8)
    views = [table.view(np.uint8) for table in tables]
    padded = tuple(views + [_NONE] * (MOST_BLOCKS - len(views)))
    _look_up(words, padded, lows, bits, out, _scratch())
    return out


def hide(bits: BitArray, merging: Merging, basis: BitArray) -> BitArray:
    """Mask the variables of a level; see ``Kernels.hide``."""
    out = np.empty((merging.picks.size, bits.shape[1]), dtype=np.uint8)
    _hide(bits, merging.picks, basis, merging.masks, out)
    return out


def merge(opened: BitArray, merging: Merging, basis: BitArray, bits: BitArray) -> BitArray:
    """Merge a level; see ``Kernels.merge``."""
    out = np.empty((2 * merging.tops.size, bits.shape[1]), dtype=np.uint8)
    _merge(opened, basis, bits, merging.tops, merging.rows, merging.factors, merging.outs, out)
    return out


def pack_bit(words: RingArray, bit: int) -> BitArray:
    """Pack one bit of every word; see ``Kernels.pack_bit``."""
    out = np.empty(packed_bytes(words.size), dtype=np.uint8)
    _pack_bit(words, bit, out, _scratch())
    return out
