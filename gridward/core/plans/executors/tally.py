"""Count who is behind a sum over rows: the largest contributors of each element, and how few there are.

Everything is a bounded number of passes over the contributions, a slice of columns at a time.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import inf
from typing import Final

import torch
from torch import Tensor

from gridward.core.plans.tallies import Tally, TallyKind

#: Contributions that are looked at together: 16 MiB of numbers, and about four times that while it lasts.
_AT_ONCE: Final = 2**21


def tally(
    tallies: Sequence[Tally], values: Mapping[str, Tensor], groups: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Compute tallies over the outputs of a run; ``groups`` numbers the entity of each row, for each table.

    Rows of a table without numbers are entities of their own. A sum's tally is three numbers, each the worst
    of all elements: the share of the two largest contributors in all absolute contributions, what the others
    contribute to the largest one, and the fewest contributors of an element that has any. A mask's tally is a
    row of entities that it lets through, and one of those that it leaves out, for each of its columns.
    """
    found: dict[str, Tensor] = {}
    for one in tallies:
        operands = [values[name] for name in one.operands]
        number = groups.get(one.table)
        found[one.name] = (
            _sides(operands[0], one.axis, number)
            if one.kind is TallyKind.MASK
            else _worst(_contributions(one, operands), number)
        )
    return found


def _contributions(one: Tally, operands: Sequence[Tensor]) -> Iterator[Tensor]:
    """Slices (rows, some elements) of what each row contributes to each element of the sum."""
    match one.kind:
        case TallyKind.PRODUCT:
            yield from _products(*operands)
        case TallyKind.SQUARES:
            value = operands[0].double()
            centred = value - value.mean(one.over, keepdim=True)
            yield from _columns(_added(centred * centred, one))
        case _:
            yield from _columns(_added(operands[0], one))


def _added(value: Tensor, one: Tally) -> Tensor:
    """Rows first, then the elements of the result; axes that are added up within a row are gone."""
    inner = [axis for axis in one.over if axis != one.axis]
    axes = [axis for axis in range(-value.ndim, 0) if axis != one.axis]
    order = value.permute([one.axis, *axes])
    if inner:
        order = order.sum([1 + axes.index(axis) for axis in inner], dtype=torch.float64)
    return order.reshape(len(order), -1)


def _columns(matrix: Tensor) -> Iterator[Tensor]:
    step = max(1, _AT_ONCE // max(1, len(matrix)))
    for first in range(0, matrix.shape[1], step):
        yield matrix[:, first : first + step].double()


def _products(left: Tensor, right: Tensor) -> Iterator[Tensor]:
    rows = left.shape[-1]
    lefts = left.movedim(-1, 0).reshape(rows, -1, left.shape[-2])
    rights = right.movedim(-2, 0).reshape(rows, -1, right.shape[-1])
    for at in range(lefts.shape[1]):
        for column in range(lefts.shape[2]):
            factor = lefts[:, at, column].double().unsqueeze(1)
            for part in _columns(rights[:, at]):
                yield factor * part


def _worst(slices: Iterator[Tensor], number: Tensor | None) -> Tensor:
    share, rest, fewest = 0.0, inf, inf
    for part in slices:
        each = _grouped(part, number).abs()
        total = each.sum(0)
        if not bool(torch.isfinite(total).all()):
            return torch.tensor([inf, 0.0, 0.0], dtype=torch.float64)
        counts = (each != 0).sum(0)
        largest, place = each.max(0)
        second = each.scatter_(0, place.unsqueeze(0), 0.0).max(0).values
        some = total > 0
        if not bool(some.any()):
            continue
        total, largest, second = total[some], largest[some], second[some]
        share = max(share, float(((largest + second) / total).max()))
        rest = min(rest, float(((total - largest - second).clamp(min=0) / largest).min()))
        fewest = min(fewest, float(counts[some].min()))
    return torch.tensor([share, rest, fewest], dtype=torch.float64)


def _grouped(part: Tensor, number: Tensor | None) -> Tensor:
    if number is None:
        return part
    entities = int(number.max()) + 1
    return part.new_zeros((entities, part.shape[1])).index_add_(0, number, part)


def _sides(mask: Tensor, axis: int, number: Tensor | None) -> Tensor:
    """Entities with a row that the mask lets through, and with one that it leaves out, for each column."""
    flat = mask.movedim(axis, 0).reshape(mask.shape[axis], -1)
    return torch.stack([_held(flat, number), _held(~flat, number)])


def _held(mask: Tensor, number: Tensor | None) -> Tensor:
    step = max(1, _AT_ONCE // max(1, len(mask)))
    parts = [
        (_grouped(mask[:, first : first + step].double(), number) > 0).sum(0)
        for first in range(0, mask.shape[1], step)
    ]
    return torch.cat(parts)
