"""What rules of smooth functions share: straight pieces, look-ups in tables, and products at any scale."""

from typing import Final, TypeAlias

from gridward.core.smpc.curve import Curve
from gridward.core.smpc.gate import (
    Add,
    LookUp,
    Multiply,
    Piece,
    Piecewise,
    Slice,
    Truncate,
    TruncateFaithful,
    View,
)
from gridward.core.smpc.lowering import Lowering, Secret
from gridward.core.smpc.program import Form, Register
from gridward.core.smpc.ring import RING_BITS
from gridward.core.smpc.rules.arithmetic import broadcast, new_share
from gridward.core.smpc.tabulation import LEAST_INDEX_BITS, Tabulation

Row: TypeAlias = tuple[tuple[Piece, ...], int]
"""Pieces, one more than there are thresholds, and the fraction bits of what they give."""

INDEX_BITS: Final = 10
"""A table has so many cells, as a power of two; its one-hot takes 128 dealer bytes an element."""

GUARD_BITS: Final = 2
"""Intercepts of bounded functions have so many fraction bits more than values."""


def masked(low: Lowering, value: Secret) -> int:
    """Give the value as public words less a mask."""
    return low.comparable(Secret(low.share(value), False, value.exposed))


def pieces(
    low: Lowering, source: int, bits: int, thresholds: tuple[int, ...], rows: tuple[Row, ...]
) -> tuple[int, ...]:
    """Compute functions of straight pieces of a masked value of ``bits`` bits, one register a row."""
    held, reach = low.registers[source], 1 << (bits - 1)
    first = sum(1 for threshold in thresholds if threshold <= -reach)
    last = sum(1 for threshold in thresholds if threshold < reach)
    kept, within = thresholds[first:last], [row[first : last + 1] for row, _ in rows]
    if not kept:  # one that changes nothing
        kept, within = (0,), [row * 2 for row in within]
    lines = tuple(within)
    guard = low.guard_bits(source, bits + 1)
    stacked = low.emit(
        Register((len(rows), *held.shape), held.scale, Form.SHARE),
        lambda out: Piecewise((source,), out, kept, lines, bits + 1, low.levels, guard),
    )
    return tuple(_row(low, stacked, at, scale) for at, (_, scale) in enumerate(rows))


def _row(low: Lowering, stacked: int, at: int, scale: int) -> int:
    shape = low.registers[stacked].shape
    one = low.emit(Register((1, *shape[1:]), scale, Form.SHARE), lambda out: Slice((stacked,), out, 0, at, 1))
    return low.emit(Register(shape[1:], scale, Form.SHARE), lambda out: View((one,), out))


def tabulated(low: Lowering, curve: Curve, scale: int, span: tuple[int, int], precision: int) -> Tabulation:
    """Lay a table over 2^span[1] from the whole number span[0] on, for an argument of ``scale`` bits."""
    start, size = span
    index_bits = max(LEAST_INDEX_BITS, min(INDEX_BITS, size + scale))
    shift = max(0, size + scale - index_bits)
    drop = max(0, precision + shift - low.max_scale)
    return Tabulation(curve, scale, start << scale, index_bits, shift, drop, precision)


def read(low: Lowering, source: int, wanted: Tabulation, exposed: bool) -> int:
    """Look a share up; where roundings show, in a way that depends on the argument alone."""
    shape = low.registers[source].shape
    made = Register(shape, wanted.out_scale, Form.SHARE)
    if not exposed:
        return low.emit(made, lambda out: LookUp((source,), out, wanted))
    fine = floored(low, source, wanted.drop)
    width = wanted.shift - wanted.drop
    cell = floored(low, fine, width)
    inner = low.emit(
        Register(shape, wanted.scale - wanted.drop, Form.SHARE),
        lambda out: Add((fine, cell), out, (1, -(1 << width))),
    )
    return low.emit(made, lambda out: LookUp((cell, inner), out, wanted))


def floored(low: Lowering, source: int, shift: int) -> int:
    """Cut bits off, whatever the mask."""
    if shift <= 0:
        return source
    held = low.registers[source]
    return low.emit(
        Register(held.shape, held.scale - shift, Form.SHARE),
        lambda out: TruncateFaithful((source,), out, shift, low.levels),
    )


def cut(low: Lowering, source: int, scale: int, exposed: bool) -> int:
    """Cut a share down to ``scale`` fraction bits, where it has more."""
    held = low.registers[source]
    shift = held.scale - scale
    if exposed or shift <= 0:
        return floored(low, source, shift)
    return low.emit(
        Register(held.shape, scale, Form.TRUNCATED, shift), lambda out: Truncate((source,), out, shift)
    )


def opened(low: Lowering, source: int) -> int:
    """Give a share as a wire, at the scale it has."""
    return low.wire(Secret(source, False, False), RING_BITS)


def product(low: Lowering, left: int, right: int, exposed: bool) -> Secret:
    """Multiply two registers at the scales they have; cut down where the product has too many bits."""
    a, b = opened(low, left), opened(low, right)
    shape = broadcast(low.registers[a].shape, low.registers[b].shape)
    scale = low.registers[a].scale + low.registers[b].scale
    made = new_share(low, shape, scale, exposed, lambda out: Multiply((a, b), out))
    if scale <= low.max_scale:
        return made
    return Secret(cut(low, made.register, low.fraction_bits, exposed), False, exposed)
