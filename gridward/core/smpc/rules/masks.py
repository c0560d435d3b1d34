"""What stands for -inf where a constant mask is added to scores: a number so low that softmax gives 0."""

from typing import Final

import numpy as np

from gridward.core.plans.ops import Op
from gridward.core.smpc.lowering import Arguments, Lowering, Public, Secret, UnsupportedError, Value

LEAST_BITS: Final = 7
"""The declared range must be 2^7 at least: a quarter of it, less 8, is left to scores."""


def finite(args: Arguments, low: Lowering, value: Value, scores: Value) -> Value:
    """Give an addend with half of the declared range, R / 2, for each -inf, if softmax alone reads the sum.

    Then a masked place lies 16 below the largest of its row, where softmax counts 0, while scores keep below
    R / 4 - 8 in size. Elsewhere -inf stays, and has no fixed-point form.
    """
    reader = args.only_reader()
    if not isinstance(value, Public) or not isinstance(scores, Secret) or reader is None:
        return value
    masked = np.isneginf(value.array)
    if reader.op is not Op.SOFTMAX or not masked.any():
        return value
    range_bits = low.width - 1 - low.fraction_bits
    if range_bits < LEAST_BITS:
        raise UnsupportedError(f"a mask takes a range of 2^{LEAST_BITS} at least")
    rank = max(masked.ndim, len(low.registers[scores.register].shape))
    axis = Arguments(reader, low).axis("dim", rank) - rank  # a mask may have fewer axes than the scores
    if (masked.all(axis) if masked.ndim >= -axis else masked).any():
        raise UnsupportedError("the mask leaves nothing of a row")
    return Public(np.where(masked, -(2.0 ** (range_bits - 1)), value.array))
