"""What a set of kernels offers: the same loops in NumPy (the meaning), in Numba, later on an accelerator.

Callers pass contiguous arrays of the stated shapes; kernels do not check and never branch on secrets.
``reference`` and ``cpu`` satisfy this protocol as modules.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gridward.core.smpc.ring import BitArray, RingArray

Places: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Gather:
    """Where a product finds its moving operand and leaves its results: index tables, for a number of groups.

    The word at row k and column p of group g is words[starts[g] + taps[k] + places[p]], the result of row r
    and column p goes to out[outs[g] + r * row_stride + targets[p]]. ``places`` and ``targets`` rise strictly.
    ``along``: taps count up from 0, as in the product of a matrix's rows.
    """

    starts: Places
    taps: Places
    places: Places
    outs: Places
    row_stride: int
    targets: Places
    along: bool = False


class Operand(Protocol):
    """A fixed operand (groups, r, k), prepared by one set of kernels for any number of its products."""

    @property
    def rows(self) -> RingArray:
        """Give the words themselves."""


class Kernels(Protocol):
    """One implementation of the ring's loops."""

    def matmul(self, a: RingArray, b: RingArray) -> RingArray:
        """Multiply (m, k) by (k, n) modulo 2^64."""

    def fix(self, rows: RingArray) -> Operand:
        """Prepare the fixed operand (groups, r, k) of many products."""

    def multiply(self, operand: Operand, words: RingArray, gather: Gather, out: RingArray) -> None:
        """Add a product modulo 2^64 to ``out`` in place, both (n,): fixed rows times gathered columns.

        Row r and column p of group g get the sum over k of rows[g, r, k] times the word that ``gather``
        names.
        """

    def truncate(
        self, opened: RingArray, high: RingArray, carry: RingArray, shift: int, first: bool, ring_bits: int
    ) -> tuple[RingArray, RingArray, RingArray]:
        """Truncate y from the opened y + 2^(ring_bits - 2) + R, all (n,).

        ``high`` and ``carry`` share R >> shift and the top bit of R; ``first`` is true on party 0. Gives the
        public words P, the public coefficient of the carry, and the share P - high + coefficient * carry.
        """

    def look_up(
        self,
        words: RingArray,
        tables: Sequence[NDArray[np.unsignedinteger]],
        lows: Sequence[int],
        bits: Sequence[int],
    ) -> tuple[BitArray, BitArray]:
        """Compare blocks of public words (n,) with blocks shared one-hot.

        Block i holds ``bits[i]`` bits from bit ``lows[i]``; ``tables[i]`` (n,) are XOR shares of 1 << block.
        Gives shares of "word's block < shared block" and of "equal", each (blocks, bytes of n bits).
        """

    def expand(
        self, opened: BitArray, basis: BitArray, rows: NDArray[np.int64], factors: NDArray[np.int64]
    ) -> BitArray:
        """XOR, over all entries i, of basis[rows[i]] AND every opened row whose bit is set in factors[i].

        ``opened`` is (variables, bytes), ``basis`` (rows, bytes); the result (bytes,).
        """

    def select(
        self, share: RingArray, public: RingArray, beta: RingArray, hidden: RingArray, flips: BitArray
    ) -> RingArray:
        """Give share * (bit XOR not flip), all (n,), ``flips`` packed.

        The bit is shared as ``beta``, the product of mask and bit as ``hidden``: bit * value is
        beta * public - hidden; where the public flip is 0 the value less that, else that.
        """
