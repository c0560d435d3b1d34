"""The client's part: mask an input, add up the answer. Needs neither torch nor Numba."""

from collections.abc import Sequence
from functools import reduce

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridward.core.errors import InvalidInputError
from gridward.core.smpc.correlations import draw_into, wire_type
from gridward.core.smpc.fixed_point import decode, encode
from gridward.core.smpc.prg import Prg
from gridward.core.smpc.program import Program
from gridward.core.smpc.ring import RingArray


def mask_input(program: Program, values: ArrayLike, subkeys: Sequence[bytes]) -> RingArray:
    """Encode a query and add the mask that the parties' subkeys make: the same words go to every party.

    ``values`` are reals of ``program.input.shape``; ``subkeys`` one a party, in any order.
    Security: uniform to everyone who lacks one of the subkeys. Use subkeys for one query only.
    Raises ``InvalidInputError`` for a wrong shape or number of subkeys, ``OutOfRangeError`` for large values.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.shape != program.input.shape:
        raise InvalidInputError(f"input of shape {array.shape}, not {program.input.shape}")
    if len(subkeys) != program.parties or len(set(subkeys)) != len(subkeys):
        raise InvalidInputError(f"{len(set(subkeys))} different subkeys where {program.parties} are due")
    slot = program.manifest[0]
    masked = encode(array, program.input.scale, program.width)
    flat, drawn = masked.reshape(-1), np.empty(masked.size, dtype=wire_type(slot))
    for subkey in subkeys:
        begin = 0
        for piece in draw_into(Prg(subkey), slot, drawn):
            flat[begin : begin + piece.size] += piece.astype(np.uint64, copy=False)
            begin += piece.size
    return masked


def reconstruct_output(program: Program, shares: Sequence[RingArray]) -> NDArray[np.float64]:
    """Add the parties' output shares up and decode them: reals of ``program.output.shape``."""
    if len(shares) != program.parties or any(share.shape != program.output.shape for share in shares):
        raise InvalidInputError(f"{program.parties} shares of shape {program.output.shape} are due")
    return decode(reduce(lambda left, right: left + right, shares), program.output.scale)
