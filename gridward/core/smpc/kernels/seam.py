"""What a set of kernels offers: the same loops in NumPy (the meaning), in Numba, later on an accelerator.

Callers pass contiguous arrays of the stated shapes; kernels do not check and never branch on secrets.
``reference`` and ``cpu`` satisfy this protocol as modules.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gridward.core.smpc.ring import BitArray, RingArray


class Kernels(Protocol):
    """One implementation of the ring's loops."""

    def matmul(self, a: RingArray, b: RingArray) -> RingArray:
        """Multiply (m, k) by (k, n) modulo 2^64."""

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

    def read_table(self, hot: RingArray, places: RingArray, columns: RingArray) -> BitArray:
        """Read tables at shared places: XOR shares (columns, bytes of n bits).

        ``hot`` (n, words) are XOR shares of 1 << v over 64 * words bits, words a power of two; the place read
        is v + ``places`` (n,), modulo the bits. ``columns`` (columns, words) are public.
        """

    def weigh_bits(self, opened: BitArray, shares: RingArray, value: RingArray) -> RingArray:
        """Add up 2^k (value - shares[k] where bit k of ``opened`` is set, else shares[k]): rows of (n,)."""
