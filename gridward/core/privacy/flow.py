"""How private rows flow through values: the small lattice that ``analysis`` computes with.

Axes are counted from the right (-1 is the last), so that broadcasting does not move them. The row axis of a
value is followed by name, never by its size: a hidden layer as wide as the batch confuses nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, TypeAlias

Shape: TypeAlias = tuple[int, ...]

NEW: Final = 1
"""Origin of an axis that repeats one value; real origins are negative."""


class MixingError(Exception):
    """A step mixes rows in a way that cannot be followed. Caught by ``analysis``, which names the step."""


class Mode(StrEnum):
    """How an op treats masked operands: what keeps "sum over one mask" from becoming "sum over two"."""

    LINEAR = "linear"  # a sum of operands: masks may meet
    PRODUCT = "product"  # linear in each operand: masks of one operand only
    ANY = "any"  # any function: one mask at most
    DECISION = "decision"  # the result is a mask of its own, counted when it is used


@dataclass(frozen=True, slots=True)
class Free:
    """A value with no row axis: public, or an aggregate over all rows. ``varies`` lists its uneven axes."""

    private: bool
    shape: Shape
    varies: frozenset[int]


@dataclass(frozen=True, slots=True)
class Rows:
    """A value whose ``axis`` runs over the rows of ``table``; its slice i depends on no other row than i.

    The axis may have been merged with others, in training only: then entry i belongs to row ``(i // per)``
    modulo the number of rows, which are gone through ``outer`` times.
    ``masks`` names the row masks that gate it. Two or more (a mask with several columns counts as two) allow
    linear steps only: otherwise a product of two well-filled masks would single out a row unseen.
    """

    shape: Shape
    axis: int
    table: str
    masks: frozenset[str] = frozenset()
    outer: int = 1
    per: int = 1


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing is known of this value but who is to blame."""

    reason: str


Flow: TypeAlias = Free | Rows | Refused
Known: TypeAlias = Free | Rows


def uneven(shape: Shape) -> frozenset[int]:
    """All axes along which a value of this shape may vary."""
    return frozenset(axis for axis in range(-len(shape), 0) if shape[axis] != 1)


def free(flows: Sequence[Known], shape: Shape) -> Free:
    """Some function of values without rows."""
    return Free(any(isinstance(f, Free) and f.private for f in flows), shape, uneven(shape))


def rows_of(flows: Sequence[Known]) -> list[Rows]:
    """Those operands that carry rows."""
    return [flow for flow in flows if isinstance(flow, Rows)]


def masks_of(flows: Sequence[Known], mode: Mode) -> frozenset[str]:
    """Masks that gate the result; refuses what would combine two of them unseen."""
    masked = [flow.masks for flow in rows_of(flows) if flow.masks]
    if mode is Mode.DECISION:
        return frozenset()
    together = frozenset[str]().union(*masked)
    if len(together) > 1 and mode is not Mode.LINEAR and not (mode is Mode.PRODUCT and len(masked) == 1):
        raise MixingError(
            "it combines several row masks (one with several columns counts as several); join them with "
            "logical_and first, so that the rows behind the result can be counted"
        )
    return together


def alike(one: Rows, other: Rows) -> bool:
    """Say whether the same entries of both axes belong to the same rows."""
    return (one.outer, one.per) == (other.outer, other.per)


def elementwise(flows: Sequence[Known], shape: Shape, mode: Mode) -> Known:
    """Broadcast operands, then work on each element."""
    rows = rows_of(flows)
    if not rows:
        varies = frozenset[int]().union(*(f.varies for f in flows if isinstance(f, Free)))
        return Free(free(flows, shape).private, shape, varies & uneven(shape))
    table, axis = rows[0].table, rows[0].axis
    if any(other.table != table for other in rows):
        raise MixingError("it pairs the rows of different datasets")
    if any(other.axis != axis or not alike(other, rows[0]) for other in rows):
        raise MixingError("it pairs every row with every other row")
    if shape[axis] != rows[0].shape[axis]:
        raise MixingError("it repeats rows along their own axis")
    if any(isinstance(f, Free) and axis in f.varies for f in flows):
        raise MixingError("it gives each row its own weight, which would single rows out")
    return replace(rows[0], shape=shape, masks=masks_of(flows, mode))


def rearranged(flow: Known, origins: Sequence[int | None], shape: Shape) -> Known:
    """Move axes.

    ``origins`` tells for each axis of the result where it came from: an axis of the operand, ``NEW`` for a
    repeated value, None for a mixture.
    """
    rank = len(shape)
    if isinstance(flow, Free):
        varies = frozenset(
            at - rank
            for at, origin in enumerate(origins)
            if (bool(flow.varies) if origin is None else origin in flow.varies)
        )
        return Free(flow.private, shape, varies & uneven(shape))
    places = [at - rank for at, origin in enumerate(origins) if origin == flow.axis]
    if len(places) != 1 or shape[places[0]] != flow.shape[flow.axis]:
        raise MixingError("it selects, reorders or merges rows")
    return replace(flow, shape=shape, axis=places[0])


def reduced(flow: Known, over: frozenset[int], *, keepdim: bool, shape: Shape, mode: Mode) -> Known:
    """Add up over the axes ``over`` (a sum, a mean, a variance); over the row axis this ends rows."""
    if isinstance(flow, Rows) and flow.axis in over:
        masks_of([flow], mode)
        return Free(True, shape, uneven(shape))
    return within(flow, over, keepdim=keepdim, shape=shape, mode=mode)


def within(flow: Known, over: frozenset[int], *, keepdim: bool, shape: Shape, mode: Mode) -> Known:
    """Reduce over the axes ``over`` by any function, none of them the row axis."""
    masks = masks_of([flow], mode)
    if isinstance(flow, Rows) and flow.axis in over:
        raise MixingError("it takes an order statistic over rows: the value of one row would come out")
    axes = range(-len(flow.shape), 0)
    origins: list[int | None] = [NEW if a in over else a for a in axes if keepdim or a not in over]
    kept = rearranged(flow, origins, shape)
    return replace(kept, masks=masks) if isinstance(kept, Rows) else kept


def contracted(left: Known, right: Known, letters: str, shape: Shape, mode: Mode) -> Known:
    """A sum of products, written as for einsum: ``ik,kj->ij``."""
    inputs, result = letters.split("->")
    names = inputs.split(",")
    operands = (left, right)
    mixed = masks_of(operands, mode)
    carriers = [
        (flow, name[flow.axis]) for flow, name in zip(operands, names, strict=True) if isinstance(flow, Rows)
    ]
    if not carriers:
        uneven_letters = {
            name[axis]
            for flow, name in zip(operands, names, strict=True)
            if isinstance(flow, Free)
            for axis in flow.varies
        }
        varies = frozenset(at - len(result) for at, letter in enumerate(result) if letter in uneven_letters)
        return Free(free(operands, shape).private, shape, varies & uneven(shape))
    table, letter = carriers[0][0].table, carriers[0][1]
    if len(carriers) == 2:
        if carriers[1][0].table != table:
            raise MixingError("it pairs the rows of different datasets")
        if carriers[1][1] != letter or not alike(carriers[0][0], carriers[1][0]):
            raise MixingError("it pairs every row with every other row, or rows with columns")
    for flow, name in zip(operands, names, strict=True):
        if isinstance(flow, Free) and letter in name and name.index(letter) - len(name) in flow.varies:
            raise MixingError("it gives each row its own weight, which would single rows out")
    if letter not in result:
        return Free(True, shape, uneven(shape))
    return replace(carriers[0][0], shape=shape, axis=result.index(letter) - len(result), masks=mixed)
