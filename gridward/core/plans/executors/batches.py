"""How rows become batches: none too small, the gathered tensors of one batch, what all of them will need."""

from collections.abc import Iterator, Mapping
from typing import Final

import torch
from torch import Tensor

from gridward.core.errors import InvalidInputError
from gridward.core.plans.executors.devices import CPU
from gridward.core.plans.executors.limits import Estimate, Limits, admit
from gridward.core.plans.executors.plain import bind
from gridward.core.plans.executors.rows import Rows
from gridward.core.plans.executors.shapes import Propagation, propagate
from gridward.core.plans.plan import Plan, Role

#: The numbers of the rows to go through, a permutation of them, and their order in an epoch.
BYTES_OF_A_ROW_NUMBER: Final = 3 * 8


def batches(order: Tensor, size: int, min_rows: int) -> Iterator[Tensor]:
    """Cut an order of rows into batches; a remainder below ``min_rows`` joins the batch before."""
    full = len(order) // size
    remainder = len(order) % size
    if full and remainder < min_rows:
        full -= 1  # the last full batch takes the remainder, or is itself the last
    for at in range(full):
        yield order[at * size : (at + 1) * size]
    yield order[full * size :]


def fewest_rows(plan: Plan, min_rows: int = 1) -> int:
    """The least that a batch of this plan holds: batch norm wants two rows."""
    return max([min_rows, *(bounds.low for _, bounds in plan.dims)])


def gather(rows: Mapping[str, Rows], picked: Tensor, device: torch.device = CPU) -> dict[str, Tensor]:
    """Copy the picked rows of every tensor: of a mapped one, only their pages are read."""
    return placed({name: value[picked] for name, value in rows.items()}, device)


def placed(values: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Give the values on a device; those that lie there are not copied."""
    return {name: value.to(device) for name, value in values.items()}


def draw(plan: Plan, count: int, generator: torch.Generator, device: torch.device = CPU) -> dict[str, Tensor]:
    """Draw the ``random`` inputs of a plan for so many rows, in its order; alike on all devices."""
    shapes = _random_shapes(plan, count)
    return placed({name: torch.rand(shape, generator=generator) for name, shape in shapes.items()}, device)


def undrawn(plan: Plan, count: int) -> dict[str, Tensor]:
    """Give the ``random`` inputs for so many rows without their numbers, where shapes are looked at."""
    return {name: torch.empty(shape, device="meta") for name, shape in _random_shapes(plan, count).items()}


def _random_shapes(plan: Plan, count: int) -> dict[str, list[int]]:
    """Read the shapes; ``validate`` saw to it that rows come first and the rest is fixed."""
    return {
        given.name: [count, *(size for size in given.shape[1:] if isinstance(size, int))]
        for given in plan.inputs
        if given.role is Role.RANDOM
    }


def chosen_rows(rows: Mapping[str, Rows], chosen: Tensor | None, min_rows: int) -> Tensor:
    """Give the numbers of the rows to go through: those chosen, or all.

    Raises:
        InvalidInputError: tensors differ in their number of rows, or there are fewer than ``min_rows``.
    """
    counts = {value.shape[0] if value.shape else 0 for value in rows.values()}
    if len(counts) != 1:
        raise InvalidInputError(f"data and targets differ in their number of rows: {sorted(counts)}")
    found = torch.arange(counts.pop()) if chosen is None else chosen
    if len(found) < min_rows:
        raise InvalidInputError(f"training needs at least {min_rows} rows")
    return found


def foresee(
    plan: Plan,
    fixed: Mapping[str, Tensor],
    rows: Mapping[str, Rows],
    lengths: list[int],
    passes: int,
    limits: Limits | None,
) -> dict[int, Propagation]:
    """Propagate shapes for every length of a batch, and refuse what all passes need beyond the limits.

    Of rows that are mapped, a batch is all that memory holds.

    Raises:
        PlanLimitError: names the need and the limit.
    """
    if limits is None:
        return {}
    found = {
        length: propagate(plan, bind(plan, {**fixed, **_first(rows, length), **undrawn(plan, length)}))
        for length in sorted(set(lengths))
    }
    step = found[max(lengths)].estimate
    held = sum(value.nbytes for value in rows.values() if isinstance(value, Tensor))
    held += sum(lengths) * BYTES_OF_A_ROW_NUMBER
    admit(Estimate(step.peak_bytes + held, step.operations * len(lengths) * passes), limits)
    return found


def _first(rows: Mapping[str, Rows], length: int) -> dict[str, Tensor]:
    return {
        name: torch.empty((length, *value.shape[1:]), dtype=value.dtype, device="meta")
        for name, value in rows.items()
    }
