"""Kernels of sums of updates: quantise and mask, and add, one pass each, on words of 32 bits."""

import numpy as np

from gridward.core.smpc.kernels.seam import Reals, ShortWords
from gridward.core.smpc.kernels.target import compiled, compiled_for


@compiled_for(*(f"void({real}[::1], f8, f8, u4[::1])" for real in ("f4", "f8")))
def _quantise_less(values: Reals, factor: float, limit: float, words: ShortWords) -> None:
    for i in range(values.size):
        scaled = np.rint(values[i] * factor)
        bounded = max(min(scaled, limit), -limit)
        words[i] = np.uint32(np.int32(bounded)) - words[i]


@compiled("void(u4[::1], u4[::1])")
def _add_short(total: ShortWords, words: ShortWords) -> None:
    for i in range(total.size):
        total[i] += words[i]


def quantise_less(values: Reals, factor: float, limit: int, words: ShortWords) -> None:
    """Turn masks into masked quantised values, in place; see ``Kernels.quantise_less``."""
    _quantise_less(values, factor, float(limit), words)


def add_short(total: ShortWords, words: ShortWords) -> None:
    """Add words of 32 bits, in place; see ``Kernels.add_short``."""
    _add_short(total, words)
