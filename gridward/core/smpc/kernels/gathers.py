"""Gathers of matrices, made once for each shape."""

from functools import lru_cache

import numpy as np

from gridward.core.smpc.kernels.seam import Gather

_KEPT = 256


def _zero() -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.zeros(1, dtype=np.int64)


@lru_cache(maxsize=_KEPT)
def of_columns(depth: int, columns: int) -> Gather:
    """Multiply fixed (r, depth) by a matrix (depth, columns), to (r, columns)."""
    places = np.arange(columns, dtype=np.int64)
    return Gather(_zero(), np.arange(depth, dtype=np.int64) * columns, places, _zero(), columns, places)


@lru_cache(maxsize=_KEPT)
def of_rows(rows: int, depth: int, columns: int) -> Gather:
    """Multiply a matrix (rows, depth) by the transpose of fixed (columns, depth), to (rows, columns)."""
    lines = np.arange(rows, dtype=np.int64)
    taps = np.arange(depth, dtype=np.int64)
    return Gather(_zero(), taps, lines * depth, _zero(), 1, lines * columns, along=True)


@lru_cache(maxsize=_KEPT)
def of_transposed(depth: int, columns: int) -> Gather:
    """Multiply fixed (r, depth) by the transpose of a matrix (columns, depth), to (r, columns)."""
    places = np.arange(columns, dtype=np.int64)
    taps = np.arange(depth, dtype=np.int64)
    return Gather(_zero(), taps, places * depth, _zero(), columns, places, along=True)
