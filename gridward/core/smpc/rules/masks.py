"""What -inf means where a constant mask is added to scores for a softmax: those places are left out.

No number stands for it: one that is low enough beside any score would leave the range. A hidden place repeats
a score of its row that is not hidden, so the row's largest is one of those, and its power is multiplied by 0.
Nothing depends on what hidden scores are.
"""

import numpy as np
from numpy.typing import NDArray

from gridward.core.plans.ops import Op
from gridward.core.smpc.gate import MultiplyConstant, Pick
from gridward.core.smpc.lowering import Arguments, Lowering, Public, Secret, UnsupportedError, Value
from gridward.core.smpc.program import Form, Register
from gridward.core.smpc.ring import to_bytes


def without_infinity(args: Arguments, low: Lowering, value: Value, scores: Value) -> Value:
    """Give an addend with 0 for each -inf, and note what it hides, if softmax alone reads the sum.

    Elsewhere -inf stays, and has no fixed-point form.
    """
    reader = args.only_reader()
    if not isinstance(value, Public) or not isinstance(scores, Secret) or reader is None:
        return value
    hidden = np.isneginf(value.array)
    if reader.op is not Op.SOFTMAX or not hidden.any():
        return value
    rank = max(hidden.ndim, len(low.registers[scores.register].shape))
    axis = Arguments(reader, low).axis("dim", rank) - rank  # a mask may have fewer axes than the scores
    if (hidden.all(axis) if hidden.ndim >= -axis else hidden).any():
        raise UnsupportedError("the mask leaves nothing of a row")
    low.hidden[args.step.out[0]] = hidden
    return Public(np.where(hidden, 0.0, value.array))


def repeated(low: Lowering, value: Secret, hidden: NDArray[np.bool_], axis: int) -> Secret:
    """Put at each hidden place the first score of its row along ``axis`` that is not hidden. Free."""
    held = low.registers[value.register]
    back = axis - len(held.shape)
    along = np.arange(held.shape[axis]).reshape(-1, *(1,) * (-1 - back))
    places = np.where(hidden, hidden.argmin(back, keepdims=True), along)
    words = to_bytes(places.astype(np.uint64))
    out = low.emit(held, lambda out: Pick((value.register,), out, axis, words, places.shape))
    return Secret(out, value.relu, value.exposed)


def erased(low: Lowering, source: int, hidden: NDArray[np.bool_]) -> int:
    """Multiply what is hidden by 0. Free."""
    held = low.registers[source]
    words = to_bytes((~hidden).astype(np.uint64))
    return low.emit(
        Register(held.shape, held.scale, Form.SHARE),
        lambda out: MultiplyConstant((source,), out, words, hidden.shape),
    )
