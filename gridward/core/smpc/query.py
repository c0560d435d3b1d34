"""The client's part: mask an input, add up the answer. Needs neither torch nor Numba."""

from collections.abc import Sequence
from functools import reduce
from math import prod

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridward.core.errors import InvalidInputError, OutOfRangeError, RangeViolationError
from gridward.core.smpc.correlations import CHECKS, draw_into, holder, wire_type
from gridward.core.smpc.fixed_point import decode, encode
from gridward.core.smpc.gate import Compared
from gridward.core.smpc.prg import Prg
from gridward.core.smpc.program import Program
from gridward.core.smpc.ring import WORD_BYTES, RingArray, view_bytes


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
    masked = encode_input(program, array)
    flat, drawn = masked.reshape(-1), np.empty(masked.size, dtype=wire_type(slot))
    for subkey in subkeys:
        begin = 0
        for piece in draw_into(Prg(subkey), slot, drawn):
            flat[begin : begin + piece.size] += piece.astype(np.uint64, copy=False)
            begin += piece.size
    return masked


def encode_input(program: Program, values: ArrayLike) -> RingArray:
    """Encode a query; raises ``OutOfRangeError`` where it leaves the declared range, or the width."""
    array = np.asarray(values, dtype=np.float64)
    words = encode(array, program.input.scale, program.width)
    if program.input_range is not None:
        low, high = program.input_range
        if array.size and not (array.min() >= low and array.max() <= high):
            raise OutOfRangeError(
                f"the query has values from {array.min():g} to {array.max():g}; this model takes {low:g} to "
                f"{high:g}"
            )
    return words


def answer_bytes(program: Program) -> int:
    """Say how long one party's answer is, before it is sealed."""
    return WORD_BYTES * (prod(program.output.shape) + CHECKS * len(program.guarded))


def cut_answer(program: Program, answer: bytes) -> tuple[RingArray, RingArray]:
    """Cut one party's answer into its output share and its shares of the guards' sums."""
    end, whole = WORD_BYTES * prod(program.output.shape), memoryview(answer)
    checks = view_bytes(whole[end:], (CHECKS * len(program.guarded),))
    return view_bytes(whole[:end], program.output.shape), checks


def reconstruct_output(
    program: Program, shares: Sequence[RingArray], checks: Sequence[RingArray] = ()
) -> NDArray[np.float64]:
    """Add the parties' output shares up and decode them: reals of ``program.output.shape``.

    ``checks`` are the parties' shares of what the guards found. Raises ``RangeViolationError`` naming every
    line of the plan whose values left the bits that they were given: then the answer is wrong.
    """
    if len(shares) != program.parties or any(share.shape != program.output.shape for share in shares):
        raise InvalidInputError(f"{program.parties} shares of shape {program.output.shape} are due")
    if program.guarded:
        _require_in_range(program, checks)
    return decode(reduce(lambda left, right: left + right, shares), program.output.scale)


def _require_in_range(program: Program, checks: Sequence[RingArray]) -> None:
    due = (CHECKS * len(program.guarded),)
    if len(checks) != program.parties or any(one.shape != due for one in checks):
        raise InvalidInputError(f"{program.parties} shares of {due[0]} sums of guards are due")
    found = np.sum(checks, axis=0, dtype=np.uint64).reshape(-1, CHECKS)
    left = [
        (at, gate)
        for (at, gate), sums in zip(program.guarded.items(), found, strict=True)
        if np.any(sums.astype(holder(gate.guard)))
    ]
    if left:
        raise RangeViolationError(
            "; ".join(_violation(program, at, gate) for at, gate in left)
            + ". The answer would be wrong: ask within the range that the model was calibrated for, or have "
            "its owner serve it anew, calibrated with samples like this query or at full width"
        )


def _violation(program: Program, at: int, gate: Compared) -> str:
    (source,) = gate.sources
    reach = 2.0 ** (gate.bits - 1 - program.registers[source].scale)
    return (
        f"{program.origins[source]}: gate {at} ({type(gate).__name__}) compared what left the {gate.bits} "
        f"bits, magnitudes up to {reach:g}, that it was given"
    )
