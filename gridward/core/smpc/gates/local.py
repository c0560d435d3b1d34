"""Gates that each party computes alone. The functions serve shares, public words, masks and plain values."""

from collections.abc import Sequence
from typing import TypeAlias, cast

import numpy as np

from gridward.core.smpc.gate import (
    Add,
    AddConstant,
    Concatenate,
    Expand,
    MultiplyConstant,
    Permute,
    Pick,
    Scale,
    Slice,
    Sum,
    SumPool,
    View,
    Windows,
)
from gridward.core.smpc.geometry import sum_pool, windows
from gridward.core.smpc.program import Register
from gridward.core.smpc.ring import BitArray, RingArray, from_bytes, word
from gridward.core.smpc.session import Mask

Move: TypeAlias = View | Permute | Expand | Slice | Pick | Windows
"""Gates that only move words: they apply to masks and public words alike."""


def move(gate: Move, words: RingArray, result: Register) -> RingArray:
    """Move words to the places that the gate gives them; no word changes."""
    match gate:
        case View():
            return words.reshape(result.shape)
        case Permute():
            return np.ascontiguousarray(words.transpose(gate.axes))
        case Expand():
            return np.ascontiguousarray(np.broadcast_to(words, result.shape))
        case Slice():
            stop = gate.start + (result.shape[gate.axis] - 1) * gate.step + 1
            places = (slice(None),) * gate.axis
            return np.ascontiguousarray(words[(*places, slice(gate.start, stop, gate.step))])
        case Pick():
            others = np.broadcast_to(from_bytes(gate.words, gate.shape).astype(np.int64), words.shape)
            return np.ascontiguousarray(np.take_along_axis(words, others, gate.axis))
        case Windows():
            return windows(words, gate, cast(tuple[int, int], result.shape[-2:]))


def move_bytes(gate: Move, values: BitArray, result: Register) -> BitArray:
    """Move single bytes as ``move`` moves words."""
    return move(gate, cast(RingArray, values), result).astype(np.uint8, copy=False)


def moved_mask(gate: Move, mask: Mask, result: Register) -> Mask:
    """Move a mask, or a share of one, as the gate moves its wire."""
    carry = None if mask.carry is None else move(gate, mask.carry, result)
    return Mask(move(gate, mask.words, result), carry)


def joined_mask(gate: Concatenate, masks: Sequence[Mask]) -> Mask:
    """Join masks, or shares of them, as the gate joins its values."""
    carries = [mask.carry for mask in masks if mask.carry is not None]
    words = np.concatenate([mask.words for mask in masks], axis=gate.axis)
    return Mask(words, np.concatenate(carries, axis=gate.axis) if carries else None)


def add(gate: Add, left: RingArray, right: RingArray) -> RingArray:
    """Add two values, each times its public integer."""
    return left * word(gate.factors[0]) + right * word(gate.factors[1])


def scale(gate: Scale, words: RingArray) -> RingArray:
    """Multiply by the public integer."""
    return words * word(gate.factor)


def summed(gate: Sum, words: RingArray) -> RingArray:
    """Add up along the axes."""
    return np.asarray(np.sum(words, axis=gate.axes, dtype=np.uint64))


def pooled(gate: SumPool, words: RingArray, result: Register) -> RingArray:
    """Add up each window."""
    return sum_pool(words, gate, cast(tuple[int, int], result.shape[-2:]))


def constant(gate: AddConstant | MultiplyConstant) -> RingArray:
    """Give the public integers that are added or multiplied by."""
    return from_bytes(gate.words, gate.shape)
