"""The client's part: mask an input, add up the answer. Needs neither torch nor Numba."""

from collections.abc import Iterator, Sequence
from math import prod

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridward.core.errors import InvalidInputError, OutOfRangeError, RangeViolationError
from gridward.core.smpc.correlations import CHECKS, draw_passing, holder
from gridward.core.smpc.fixed_point import (
    STRETCH,
    Reals,
    decode_into,
    encode_into,
    extent,
    require_fits,
    stretches,
)
from gridward.core.smpc.gate import Compared
from gridward.core.smpc.prg import PASSING_BYTES, Prg
from gridward.core.smpc.program import Program
from gridward.core.smpc.ring import WIRE_WORD, WORD_BYTES, RingArray, view_bytes


def mask_input(program: Program, values: ArrayLike, subkeys: Sequence[bytes]) -> RingArray:
    """Encode a query and add the mask that the parties' subkeys make: the same words go to every party.

    ``values`` are reals of ``program.input.shape``; ``subkeys`` one a party, in any order.
    Security: uniform to everyone who lacks one of the subkeys. Use subkeys for one query only.
    Raises ``InvalidInputError`` for a wrong shape or number of subkeys, ``OutOfRangeError`` for large values.
    """
    masked, making = masking(program, values, subkeys)
    for _ in making:
        pass
    return masked.astype(np.uint64, copy=False)


def masking(program: Program, values: ArrayLike, subkeys: Sequence[bytes]) -> tuple[RingArray, Iterator[int]]:
    """Mask as ``mask_input`` does, while the beginning is sent already: words of ``WIRE_WORD``.

    The iterator fills them and says how many bytes are made. Whatever could be refused is refused before the
    first: what parties see of a query must not say where in it a value was too large. The range is checked
    then, and ``values`` are read again as they are sent: leave them unchanged until the iterator ends. What
    is changed meanwhile goes out unchecked, and the answer may be wrong without a word.
    """
    reals = _reals(values)
    if reals.shape != program.input.shape:
        raise InvalidInputError(f"input of shape {reals.shape}, not {program.input.shape}")
    if len(subkeys) != program.parties or len(set(subkeys)) != len(subkeys):
        raise InvalidInputError(f"{len(set(subkeys))} different subkeys where {program.parties} are due")
    _require_range(program, reals)
    masked = np.empty(reals.shape, dtype=WIRE_WORD)
    return masked, _masking(program, reals.reshape(-1), subkeys, masked.reshape(-1))


def _masking(program: Program, reals: Reals, subkeys: Sequence[bytes], masked: RingArray) -> Iterator[int]:
    slot = program.manifest[0]
    begin, scratch = 0, np.empty(min(PASSING_BYTES // WORD_BYTES, reals.size), dtype=WIRE_WORD)
    for masks in zip(*(draw_passing(Prg(subkey), slot) for subkey in subkeys), strict=True):
        words = scratch[: masks[0].size]
        encode_into(reals[begin : begin + words.size], program.input.scale, words)
        for mask in masks:
            words += mask.astype(np.uint64, copy=False)
        masked[begin : begin + words.size] = words  # what is sent never holds a value without its mask
        begin += words.size
        yield begin * WORD_BYTES


def _reals(values: ArrayLike) -> Reals:
    """Give contiguous reals; those of single precision are widened stretch by stretch."""
    array = np.asarray(values)
    return np.ascontiguousarray(array, dtype=np.float32 if array.dtype == np.float32 else np.float64)


def encode_input(program: Program, values: ArrayLike) -> RingArray:
    """Encode a query; raises ``OutOfRangeError`` where it leaves the declared range, or the width."""
    reals = _reals(values)
    _require_range(program, reals)
    words = np.empty(reals.shape, dtype=np.uint64)
    encode_into(reals.reshape(-1), program.input.scale, words.reshape(-1))
    return words


def _require_range(program: Program, reals: Reals) -> None:
    low, high = extent(reals)
    require_fits(low, high, program.input.scale, program.width)
    if program.input_range is not None and reals.size:
        least, largest = program.input_range
        if not (low >= least and high <= largest):
            raise OutOfRangeError(
                f"the query has values from {low:g} to {high:g}; this model takes {least:g} to {largest:g}"
            )


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
    output = np.empty(program.output.shape)
    first, *others = (np.ascontiguousarray(share).reshape(-1) for share in shares)
    scratch = np.empty(min(STRETCH, output.size), dtype=np.uint64)
    for part in stretches(output.size):
        total = scratch[: part.stop - part.start]
        np.copyto(total, first[part])
        for share in others:
            total += share[part]
        decode_into(total, program.output.scale, output.reshape(-1)[part])
    return output


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
