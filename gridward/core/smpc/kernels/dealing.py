"""Kernels of the dealer: functions of masks, less what the parties draw, in place of what they draw."""

from collections.abc import Sequence

import numpy as np

from gridward.core.smpc.kernels.seam import Places, Table
from gridward.core.smpc.kernels.target import compiled, compiled_for
from gridward.core.smpc.ring import RING_BITS, BitArray, RingArray

_WIDTHS = ("u1", "u2", "u4", "u8")


@compiled_for(*(f"void(u8[::1], u8, u8, {width}[::1])" for width in _WIDTHS))
def _set_block(words: RingArray, low: int, size: int, table: Table) -> None:
    one = np.uint64(1)
    ones = (one << size) - one
    for i in range(words.size):
        table[i] ^= one << ((words[i] >> low) & ones)


@compiled("void(u1[:,::1], i8[::1], u1[:,::1])")
def _set_products(masks: BitArray, subsets: Places, products: BitArray) -> None:
    row = np.empty(masks.shape[1], dtype=np.uint8)
    for at in range(subsets.size):
        row[:] = 0xFF
        for variable in range(masks.shape[0]):
            if subsets[at] >> variable & 1:
                mask = masks[variable]
                for byte in range(row.size):
                    row[byte] &= mask[byte]
        product = products[at]
        for byte in range(row.size):
            product[byte] ^= row[byte]


@compiled("void(u8[::1], u8, u1[::1], u8[::1], u8[::1])")
def _set_selection(
    words: RingArray, top: int, signs: BitArray, beta: RingArray, beta_mask: RingArray
) -> None:
    for i in range(words.size):
        bit = np.uint64(signs[i]) ^ ((words[i] >> top) & np.uint64(1))
        signs[i] = bit
        beta[i] = bit - beta[i]
        beta_mask[i] = (np.uint64(0) - bit & words[i]) - beta_mask[i]


@compiled_for(*(f"void(u1[::1], u1[::1], {width}[::1])" for width in _WIDTHS))
def _set_carry(signs: BitArray, carry: BitArray, part: Table) -> None:
    for i in range(signs.size):
        part[i] = np.uint64(signs[i] & carry[i]) - np.uint64(part[i])


@compiled_for(*(f"void(u8[::1], u8, u8[::1], u1[::1], u8[::1], {width}[::1])" for width in _WIDTHS))
def _set_truncation(
    mask: RingArray, shift: int, high: RingArray, top: BitArray, high_part: RingArray, carry_part: Table
) -> None:
    for i in range(mask.size):
        high[i] = mask[i] >> shift
        top[i] = mask[i] >> np.uint64(RING_BITS - 1)
        high_part[i] = high[i] - high_part[i]
        carry_part[i] = np.uint64(top[i]) - np.uint64(carry_part[i])


def set_blocks(words: RingArray, lows: Places, bits: Places, tables: Sequence[Table]) -> None:
    """Turn drawn tables into corrections; see ``Kernels.set_blocks``."""
    for low, size, table in zip(lows, bits, tables, strict=True):
        _set_block(words, low, size, table)


def set_products(masks: BitArray, subsets: Places, products: BitArray) -> None:
    """Turn drawn products into corrections; see ``Kernels.set_products``."""
    _set_products(masks, subsets, products)


def set_selection(
    words: RingArray, top: int, flips: BitArray, beta: RingArray, beta_mask: RingArray
) -> BitArray:
    """Turn drawn shares of a selection into corrections; see ``Kernels.set_selection``."""
    signs = np.unpackbits(flips, count=words.size, bitorder="little")
    _set_selection(words, top, signs, beta, beta_mask)
    return signs


def set_carry(signs: BitArray, carry: BitArray, part: Table) -> None:
    """Turn drawn shares of selected carries into corrections; see ``Kernels.set_carry``."""
    _set_carry(signs, carry, part)


def set_truncation(mask: RingArray, shift: int, high: RingArray, carry: Table) -> tuple[RingArray, BitArray]:
    """Turn drawn shares of a truncation into corrections; see ``Kernels.set_truncation``."""
    upper, top = np.empty_like(mask), np.empty(mask.size, dtype=np.uint8)
    _set_truncation(mask, shift, upper, top, high, carry)
    return upper, top
