"""A curve as a table of straight lines in integers, laid out for look-ups by XOR shares.

Cell j of width 2^shift starts at ``low`` + j 2^shift. The parties know a cell only up to a coin: they read
cell j for an argument in cell j or j - 1. So the line of cell j serves both: t, the argument less the cell's
start, lies between -2^shift and 2^shift, and the line meets the curve in the Chebyshev points of that span.
Its error is at most M h^2 / 4, for h the width of a cell and M the largest second derivative, and the
roundings.
"""

from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gridward.core.smpc.curve import Curve, value_of
from gridward.core.smpc.ring import RING_BITS, RingArray

LEAST_INDEX_BITS: Final = 6
"""A table fills whole words."""


@dataclass(frozen=True, slots=True)
class Tabulation:
    """A curve over 2^index_bits cells of 2^shift units of an argument with ``scale`` fraction bits.

    ``low`` is the start of a cell. The table holds the curve at ratio[0] / ratio[1] times the argument.
    Intercepts have ``precision`` fraction bits. The lowest ``drop`` bits of the argument are not looked at.
    """

    curve: Curve
    scale: int
    low: int
    index_bits: int
    shift: int
    drop: int
    precision: int
    ratio: tuple[int, int] = (1, 1)

    @property
    def argument_bits(self) -> int:
        """Say how many bits tell the argument less ``low``."""
        return self.index_bits + self.shift

    @property
    def high(self) -> int:
        """Give the largest argument: one cell is left out, for the coin."""
        return self.low + (((1 << self.index_bits) - 1) << self.shift) - 1

    @property
    def out_scale(self) -> int:
        """Say how many fraction bits a value read has."""
        return self.precision + self.shift - self.drop

    @property
    def words(self) -> int:
        """Count the ring words of one bit of every cell."""
        return (1 << self.index_bits) // RING_BITS


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """y = (intercept + intercepts[j]) 2^(shift - drop) + (slope + slopes[j]) t, with t in units of 2^drop.

    ``columns`` are the bits of ``intercepts``, then those of ``slopes``, lowest first, each over all cells:
    (bits, words).
    """

    intercept: int
    slope: int
    intercepts: NDArray[np.int64]
    slopes: NDArray[np.int64]
    intercept_bits: int
    slope_bits: int
    columns: RingArray


@lru_cache(maxsize=64)
def tabulate(wanted: Tabulation) -> Table:
    """Fit a line to every cell; the arrays are read-only."""
    lines = [_line(wanted, cell) for cell in range(1 << wanted.index_bits)]
    intercepts, slopes = (np.array(column, dtype=np.int64) for column in zip(*lines, strict=True))
    if wanted.shift == 0:
        slopes = np.zeros_like(slopes)
    least = int(intercepts.min()), int(slopes.min())
    intercepts, slopes = _narrowed(intercepts - least[0]), _narrowed(slopes - least[1])
    counts = int(intercepts.max()).bit_length(), int(slopes.max()).bit_length()
    columns = np.concatenate([_columns(intercepts, counts[0]), _columns(slopes, counts[1])])
    for array in (intercepts, slopes, columns):
        array.setflags(write=False)
    return Table(*least, intercepts, slopes, *counts, columns)


def _line(wanted: Tabulation, cell: int) -> tuple[int, int]:
    with localcontext(Context(prec=40)):
        unit = Decimal(2) ** -wanted.scale * wanted.ratio[0] / wanted.ratio[1]
        half_chord = (1 << wanted.shift) / Decimal(2).sqrt()
        start = Decimal(wanted.low + (cell << wanted.shift))
        left = value_of(wanted.curve, (start - half_chord) * unit)
        right = value_of(wanted.curve, (start + half_chord) * unit)
        intercept = (left + right) / 2 * Decimal(2) ** wanted.precision
        # a slope counts for 2^shift units of the argument at most
        slope = (right - left) / (2 * half_chord) * Decimal(2) ** (wanted.precision + wanted.shift)
        return round(intercept), round(slope)


def _narrowed(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Lower the largest by one where only it takes another bit, which every element would pay for."""
    most = int(values.max())
    return np.minimum(values, most - 1) if most & (most - 1) == 0 < most else values


def _columns(values: NDArray[np.int64], count: int) -> RingArray:
    bits = (values[None, :] >> np.arange(count)[:, None]) & 1
    packed = np.packbits(bits.astype(np.uint8), axis=-1, bitorder="little")
    return np.ascontiguousarray(packed).view("<u8").astype(np.uint64).reshape(count, values.size // RING_BITS)
