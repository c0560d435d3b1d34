"""Ring products: three ways to compute one, and the choice between them by what their parts take.

``ALONG`` sums products of two rows of memory, for a few columns. ``VECTORS`` multiplies vectors of words,
``TILES`` digits of 8 bits on the units that some processors have for them.
"""

import threading

import numpy as np
from numpy.typing import NDArray

from gridward.core.smpc.kernels import gathers, tiles, vectors
from gridward.core.smpc.kernels.paces import DEFAULT, Paces, Way, choose
from gridward.core.smpc.kernels.seam import Gather, Operand
from gridward.core.smpc.ring import RingArray


class Fixed:
    """A fixed operand (groups, r, k): its words, or instead of them its digits once TILES asks for these.

    Safe to share between threads. Memory: 8 bytes a word, padded to tiles where it is digits.
    """

    __slots__ = ("_blocks", "_lock", "_words", "shape")

    def __init__(self, rows: RingArray) -> None:
        self.shape = rows.shape
        self._words: RingArray | None = np.require(rows, requirements=["C", "W"])
        self._blocks: NDArray[np.uint8] | None = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Fixed(shape={self.shape})"

    @property
    def rows(self) -> RingArray:
        """Give the words, joined anew where only digits are here."""
        with self._lock:
            if self._words is not None:
                return self._words
            return tiles.words_of(self._the_blocks(), self.shape)

    @property
    def is_cut(self) -> bool:
        """Say whether digits are here, and the words are not."""
        return self._words is None

    def blocks(self) -> NDArray[np.uint8]:
        """Give the digits, cut at the first call."""
        with self._lock:
            if self._words is not None:
                self._blocks = tiles.fix(self._words)
                self._words = None
            return self._the_blocks()

    def _the_blocks(self) -> NDArray[np.uint8]:
        if self._blocks is None:
            raise ValueError("neither words nor digits")
        return self._blocks


def multiply(
    operand: Operand, words: RingArray, gather: Gather, out: RingArray, paces: Paces = DEFAULT
) -> None:
    """Add a product to ``out`` in the way that should take least; see ``Kernels.multiply``.

    What was cut once is multiplied by TILES: those take no longer than ALONG where the operand is large, and
    joining its words anew would.
    """
    if isinstance(operand, Fixed) and operand.is_cut:
        multiply_by(Way.TILES, operand, words, gather, out)
        return
    rows = operand.rows
    way = choose(paces, rows.shape[1], rows.shape[2], gather.places.size, gather.along)
    multiply_by(way, operand, words, gather, out)


def multiply_by(way: Way, operand: Operand, words: RingArray, gather: Gather, out: RingArray) -> None:
    """Add a product to ``out`` in one way; TILES only where ``has_tiles``."""
    if way is Way.TILES:
        blocks = operand.blocks() if isinstance(operand, Fixed) else tiles.fix(operand.rows)
        shape = operand.shape if isinstance(operand, Fixed) else operand.rows.shape
        if blocks.size and gather.places.size:
            tiles.multiply(blocks, shape[1], words, gather, out)
        return
    rows = operand.rows
    if rows.size and gather.places.size:
        (vectors.multiply_along if way is Way.ALONG else vectors.multiply)(rows, words, gather, out)


def matmul(a: RingArray, b: RingArray, paces: Paces = DEFAULT) -> RingArray:
    """Multiply two matrices; see ``Kernels.matmul``."""
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        raise ValueError(f"cannot multiply {a.shape} by {b.shape}")
    depth, columns = b.shape
    out = np.zeros((a.shape[0], columns), dtype=np.uint64)
    turned = b.T.flags.c_contiguous and not b.flags.c_contiguous
    words = (b.T if turned else np.ascontiguousarray(b)).reshape(-1)
    gather = gathers.of_transposed(depth, columns) if turned else gathers.of_columns(depth, columns)
    multiply(Fixed(a[None]), words, gather, out.reshape(-1), paces)
    return out
