"""What functions with many scales share: a factor that brings a value into one short span.

A value x is compared with powers of four, all in the same rounds. The comparisons choose a factor N, a power
of two, with which v = x N / 2^span lies in [1/4, 1); there a table is exact enough. What is left is a product
with a power of N, its companion, or a sum with its logarithm. Stairs give x N and the companion together and
exactly.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gridward.core.smpc.curve import Curve
from gridward.core.smpc.gate import Piece
from gridward.core.smpc.lowering import Lowering, Secret, UnsupportedError
from gridward.core.smpc.rules.curves import INDEX_BITS, masked, pieces, read
from gridward.core.smpc.tabulation import Tabulation

MOST_BITS: Final = 30
"""Fraction bits of what a table gives, where there is room."""
LEAST_BITS: Final = 14

_LEAST_SPAN: Final = 16


@dataclass(frozen=True, slots=True)
class Scaled:
    """A masked value of ``bits`` bits with the sign; ``span`` bits tell it brought up."""

    source: int
    scale: int
    bits: int

    @property
    def span(self) -> int:
        """Give an even number of bits, that of the largest magnitude at least."""
        return max(_LEAST_SPAN, self.bits + self.bits % 2)


@dataclass(frozen=True, slots=True)
class Window:
    """Magnitudes from ``start`` to 2^top, less than a factor of four apart."""

    start: int
    top: int


def scaled_value(low: Lowering, value: Secret) -> Scaled:
    """Take any value of the plan."""
    source = masked(low, value)
    held = low.registers[source]
    return Scaled(source, held.scale, low.bits(source))


def windows(first: int, bits: int, parity: int = 0) -> list[Window]:
    """Cut magnitudes from ``first`` on, of values of ``bits`` bits, at powers of two of one parity."""
    top = first.bit_length()
    top += (top - parity) % 2
    found = []
    while first < 1 << (bits - 1):
        found.append(Window(first, top))
        first, top = 1 << top, top + 2
    return found


def brought_up(
    low: Lowering,
    value: Scaled,
    found: list[Window],
    companion: Callable[[Window], int],
    below: int,
    scale: int,
) -> tuple[int, int]:
    """Give x N and the companion, a number for each window, of a positive value.

    What lies below the first window counts as its start, with the companion ``below``.
    """
    inner: list[Piece] = [(0, 1 << (value.span - window.top)) for window in found]
    first = (found[0].start << (value.span - found[0].top), 0)
    beside: list[Piece] = [(companion(window), 0) for window in found]
    made = pieces(
        low,
        value.source,
        value.bits,
        tuple(window.start for window in found),
        (((first, *inner), value.span), (((below, 0), *beside), scale)),
    )
    return made[0], made[1]


def mantissa_table(curve: Curve, span: int, room: int, ratio: tuple[int, int] = (1, 1)) -> Tabulation:
    """Lay a table over [1/8, 9/8), for ``span`` fraction bits, to give at most ``room``."""
    out = min(MOST_BITS, room)
    if out < LEAST_BITS:
        raise UnsupportedError("the width leaves too little room for a function of many scales")
    precision = (out + 8) // 2
    shift = span - INDEX_BITS
    return Tabulation(
        curve, span, 1 << (span - 3), INDEX_BITS, shift, max(0, shift - (out - precision)), precision, ratio
    )


def read_mantissa(
    low: Lowering, curve: Curve, inner: int, room: int, exposed: bool, ratio: tuple[int, int] = (1, 1)
) -> int:
    """Give the curve of v."""
    return read(low, inner, mantissa_table(curve, low.registers[inner].scale, room, ratio), exposed)
