"""Count who is behind a sum over rows: the largest contributors of each element, and how few there are.

Everything is a bounded number of passes over the contributions, a slice of elements at a time.
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
    """Slices (some elements, rows) of what each row contributes to each element of the sum."""
    match one.kind:
        case TallyKind.PRODUCT:
            yield from _products(*operands)
        case TallyKind.SQUARES:
            value = operands[0].double()
            centred = value - value.mean(one.over, keepdim=True)
            yield from _slices(_added(centred * centred, one))
        case _:
            yield from _slices(_added(operands[0], one))


def _added(value: Tensor, one: Tally) -> Tensor:
    """Elements of the result, then rows; axes that are added up within a row are gone."""
    inner = [value.ndim + axis for axis in one.over if axis != one.axis]
    rows_last = value.unsqueeze(-1).transpose(value.ndim + one.axis, -1)
    if inner:
        rows_last = rows_last.sum(inner, dtype=torch.float64)
    return rows_last.reshape(-1, value.shape[one.axis])


def _slices(matrix: Tensor) -> Iterator[Tensor]:
    step = max(1, _AT_ONCE // max(1, matrix.shape[1]))
    for first in range(0, len(matrix), step):
        yield matrix[first : first + step].double()


def _products(left: Tensor, right: Tensor) -> Iterator[Tensor]:
    rows = left.shape[-1]
    lefts = left.reshape(-1, left.shape[-2], rows)
    rights = right.transpose(-1, -2).reshape(-1, right.shape[-1], rows)
    for some, others in zip(lefts, rights, strict=True):
        for factor in some:
            for part in _slices(others):
                yield part * factor.double()


def _worst(slices: Iterator[Tensor], number: Tensor | None) -> Tensor:
    share, rest, fewest = 0.0, inf, inf
    for part in slices:
        each = _grouped(part, number).abs()
        total = each.sum(1)
        if not bool(torch.isfinite(total).all()):
            return torch.tensor([inf, 0.0, 0.0], dtype=torch.float64)
        some = total > 0
        if not bool(some.any()):
            continue
        counts = torch.count_nonzero(each, 1)
        largest, place = each.max(1)
        second = each.scatter_(1, place.unsqueeze(1), 0.0).max(1).values
        total, largest, second = total[some], largest[some], second[some]
        share = max(share, float(((largest + second) / total).max()))
        rest = min(rest, float(((total - largest - second).clamp(min=0) / largest).min()))
        fewest = min(fewest, float(counts[some].min()))
    return torch.tensor([share, rest, fewest], dtype=torch.float64)


def _grouped(part: Tensor, number: Tensor | None) -> Tensor:
    if number is None:
        return part
    entities = int(number.max()) + 1
    return part.new_zeros((len(part), entities)).index_add_(1, number, part)


def _sides(mask: Tensor, axis: int, number: Tensor | None) -> Tensor:
    """Entities with a row that the mask lets through, and with one that it leaves out, for each column."""
    flat = mask.movedim(axis, -1).reshape(-1, mask.shape[axis])
    return torch.stack([_held(flat, number), _held(~flat, number)])


def _held(mask: Tensor, number: Tensor | None) -> Tensor:
    return torch.cat([(_grouped(part, number) > 0).sum(1) for part in _slices(mask)])
