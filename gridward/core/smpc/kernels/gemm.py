"""Ring products: three ways to compute one, and the choice between them by what their parts take.

``ALONG`` sums products of two rows of memory, for a few columns. ``VECTORS`` multiplies vectors of words,
``TILES`` digits of 8 bits on the units that some processors have for them.
"""

import threading
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gridward.core.smpc.kernels import gathers, tiles, vectors
from gridward.core.smpc.kernels.seam import Gather, Operand
from gridward.core.smpc.kernels.target import has_tiles
from gridward.core.smpc.kernels.tile_intrinsics import DEPTH, ROWS
from gridward.core.smpc.ring import WORD_BYTES, RingArray


class Way(StrEnum):
    """How a product is computed; all give the same words."""

    ALONG = "along"
    VECTORS = "vectors"
    TILES = "tiles"


@dataclass(frozen=True, slots=True)
class Paces:
    """Nanoseconds of the parts of a product on one core: what the choice for every shape follows from.

    ``along``, ``along_far``: one multiplication of ALONG, with a fixed operand that fits the second-level
    cache and one that does not. ``gather`` and ``vector``: taking one word, and one multiplication, of
    VECTORS. ``cut``, ``tile``, ``join``: cutting 16 x 64 words, multiplying 16 x 64 by 64 x 16, and joining
    the digits of 16 x 16, of TILES. ``start``: beginning VECTORS or TILES.
    """

    along: float = 0.1
    along_far: float = 0.25
    gather: float = 0.5
    vector: float = 0.083
    cut: float = 800.0
    tile: float = 240.0
    join: float = 250.0
    start: float = 2000.0


DEFAULT: Final = Paces()
"""Measured on one core of a Xeon with AMX at 2.6 GHz; other machines keep the order of the ways."""

_NEAR_BYTES: Final = 1 << 20


def estimate(paces: Paces, rows: int, depth: int, columns: int) -> dict[Way, float]:
    """Say how many nanoseconds (rows, depth) times (depth, columns) takes in every way."""
    macs = rows * depth * columns
    near = rows * depth * WORD_BYTES <= _NEAR_BYTES
    down, deep, across = (
        -(-count // size) for count, size in ((rows, ROWS), (depth, DEPTH), (columns, ROWS))
    )
    return {
        Way.ALONG: macs * (paces.along if near else paces.along_far),
        Way.VECTORS: paces.start + depth * columns * paces.gather + macs * paces.vector,
        Way.TILES: paces.start + across * (deep * (paces.cut + down * paces.tile) + down * paces.join),
    }


@lru_cache(maxsize=4096)
def choose(paces: Paces, rows: int, depth: int, columns: int, along: bool) -> Way:
    """Give the way that should take least for one group; ALONG only where columns lie along k."""
    times = estimate(paces, rows, depth, columns)
    if not along:
        del times[Way.ALONG]
    if not has_tiles():
        del times[Way.TILES]
    return min(times, key=lambda way: times[way])


class Fixed:
    """A fixed operand (groups, r, k), and its digits once a product by TILES asks for them.

    Safe to share between threads. Memory: the words, and as much again for digits, padded to tiles.
    """

    __slots__ = ("_blocks", "_lock", "rows")

    def __init__(self, rows: RingArray) -> None:
        self.rows = np.ascontiguousarray(rows)
        self._blocks: NDArray[np.uint8] | None = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Fixed(shape={self.rows.shape})"

    def blocks(self) -> NDArray[np.uint8]:
        """Give the digits, cut at the first call."""
        with self._lock:
            if self._blocks is None:
                self._blocks = tiles.fix(self.rows)
            return self._blocks


def multiply(
    operand: Operand, words: RingArray, gather: Gather, out: RingArray, paces: Paces = DEFAULT
) -> None:
    """Add a product to ``out`` in the way that should take least; see ``Kernels.multiply``."""
    rows = operand.rows
    way = choose(paces, rows.shape[1], rows.shape[2], gather.places.size, gather.along)
    multiply_by(way, operand, words, gather, out)


def multiply_by(way: Way, operand: Operand, words: RingArray, gather: Gather, out: RingArray) -> None:
    """Add a product to ``out`` in one way; TILES only where ``has_tiles``."""
    if not (operand.rows.size and gather.places.size):
        return
    match way:
        case Way.ALONG:
            vectors.multiply_along(operand.rows, words, gather, out)
        case Way.VECTORS:
            vectors.multiply(operand.rows, words, gather, out)
        case Way.TILES:
            blocks = operand.blocks() if isinstance(operand, Fixed) else tiles.fix(operand.rows)
            tiles.multiply(blocks, operand.rows.shape[1], words, gather, out)


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
