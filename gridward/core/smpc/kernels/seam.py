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
Table: TypeAlias = NDArray[np.unsignedinteger]
"""Words of 8, 16, 32 or 64 bits."""

Reals: TypeAlias = NDArray[np.float32] | NDArray[np.float64]
ShortWords: TypeAlias = NDArray[np.uint32]
"""Integers modulo 2^32, the words of sums of updates."""


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


@dataclass(frozen=True, slots=True, eq=False)
class Merging:
    """Index tables of one level of a comparison, see ``Kernels.hide`` and ``Kernels.merge``.

    Variable i is row ``picks[i]`` of the bits so far, its mask row ``masks[i]`` of the basis. Group g begins
    with row ``tops[g]`` of the bits. Entry j adds row ``rows[j]`` of the basis, AND the opened variables in
    the bit set ``factors[j]``, to row ``outs[j]`` of the result.
    """

    picks: Places
    masks: Places
    tops: Places
    rows: Places
    factors: Places
    outs: Places


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

    def add_mask(self, share: RingArray, mask: RingArray, offset: int) -> RingArray:
        """Give share + mask + offset, contiguous arrays of one shape."""

    def truncate(
        self, opened: RingArray, high: RingArray, carry: Table, shift: int, first: bool, ring_bits: int
    ) -> tuple[RingArray, BitArray, RingArray]:
        """Truncate y from the opened y + 2^(ring_bits - 2) + R, all (n,).

        ``high`` and ``carry`` share R >> shift and the top bit of R, the latter modulo 2^shift at least;
        ``first`` is true on party 0. Gives the public words P, one public byte each that is 1 where the top
        bit of what was opened is 0, and the share P - high + 2^(ring_bits - shift) * byte * carry.
        """

    def look_up(self, words: RingArray, tables: Sequence[Table], lows: Places, bits: Places) -> BitArray:
        """Compare blocks of public words (n,) with blocks shared one-hot.

        Block i holds ``bits[i]`` bits, 6 at most, from bit ``lows[i]``; ``tables[i]`` (n,) are XOR shares of
        1 << block in the narrowest dtype; what they hold above 2^bits bits does not count. Gives packed
        shares, a row each: of "word's block < shared block" for all blocks, then of "equal" for all.
        """

    def hide(self, bits: BitArray, merging: Merging, basis: BitArray) -> BitArray:
        """Mask the variables of a level of merging: rows of ``bits`` XOR rows of ``basis``."""

    def merge(self, opened: BitArray, merging: Merging, basis: BitArray, bits: BitArray) -> BitArray:
        """Merge the blocks of a level: ``opened`` are its masked variables, ``bits`` rows as of ``look_up``.

        Gives rows as ``look_up`` does, for groups instead of blocks. Each result is the XOR over its entries
        of a row of ``basis`` AND the opened rows that the entry's factors name, and less of the top block.
        """

    def pack_bit(self, words: RingArray, bit: int) -> BitArray:
        """Pack one bit of every word (n,), padded with zeros."""

    def select(
        self,
        share: RingArray,
        public: RingArray,
        beta: RingArray,
        hidden: RingArray,
        flips: BitArray,
        carried: tuple[RingArray, Table] | None,
    ) -> RingArray:
        """Give share * (bit XOR not flip), all (n,), ``flips`` packed.

        The bit is shared as ``beta``, the product of mask and bit as ``hidden``: bit * value is
        beta * public - hidden, plus coefficient * carry where there are such; where the public flip is 0 the
        value less that, else that.
        """

    def larger(
        self,
        share: RingArray,
        public: RingArray,
        beta: RingArray,
        hidden: RingArray,
        flips: BitArray,
        carried: tuple[RingArray, Table, Table] | None,
    ) -> RingArray:
        """Give right + selected (left - right): ``share`` (pairs, 2, n), all else (pairs, n).

        As ``select`` of the differences, whose public words are given; ``carried`` has coefficients like
        ``share``, and the carries of left and right.
        """

    def set_blocks(self, words: RingArray, lows: Places, bits: Places, tables: Sequence[Table]) -> None:
        """Dealer: XOR 1 << block of ``words`` (n,) into tables, in place; blocks as in ``look_up``."""

    def set_products(self, masks: BitArray, subsets: Places, products: BitArray) -> None:
        """Dealer: XOR the AND of the masks in every subset, a bit set, into ``products``, in place."""

    def set_selection(
        self, words: RingArray, top: int, flips: BitArray, beta: RingArray, beta_mask: RingArray
    ) -> BitArray:
        """Dealer: bits b = flip XOR bit ``top`` of ``words`` (n,), one byte each.

        In place, ``beta`` becomes b - beta and ``beta_mask`` b * words - beta_mask.
        """

    def set_carry(self, signs: BitArray, carry: BitArray, part: Table) -> None:
        """Dealer: in place, ``part`` becomes bits ``signs`` AND ``carry``, less itself; all (n,)."""

    def set_truncation(
        self, mask: RingArray, shift: int, high: RingArray, carry: Table
    ) -> tuple[RingArray, BitArray]:
        """Dealer: mask >> shift, and the top bit of ``mask`` (n,), one byte each.

        In place, ``high`` and ``carry`` become those less themselves.
        """

    def read_table(self, hot: RingArray, places: RingArray, columns: RingArray) -> BitArray:
        """Read tables at shared places: XOR shares (columns, bytes of n bits).

        ``hot`` (n, words) are XOR shares of 1 << v over 64 * words bits, words a power of two; the place read
        is v + ``places`` (n,), modulo the bits. ``columns`` (columns, words) are public.
        """

    def weigh_bits(self, opened: BitArray, shares: RingArray, value: RingArray) -> RingArray:
        """Add up 2^k (value - shares[k] where bit k of ``opened`` is set, else shares[k]): rows of (n,)."""

    def quantise_less(self, values: Reals, factor: float, limit: int, words: ShortWords) -> None:
        """Put round(values * factor) - words modulo 2^32 into ``words``; all (n,), values finite.

        Rounded to the nearest, ties to even, in float64, then kept within ``limit`` < 2^31 on either side.
        """

    def add_short(self, total: ShortWords, words: ShortWords) -> None:
        """Add ``words`` (n,) to ``total`` modulo 2^32, in place."""
