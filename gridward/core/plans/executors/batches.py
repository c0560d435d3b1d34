"""How rows become batches: none too small, the gathered tensors of one batch, what all of them will need."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from gridward.core.errors import InvalidInputError
from gridward.core.plans.executors.limits import Estimate, Limits, admit
from gridward.core.plans.executors.plain import bind
from gridward.core.plans.executors.shapes import Propagation, propagate
from gridward.core.plans.plan import Plan

BYTES_OF_A_ROW_NUMBER = 8


def batches(order: Tensor, size: int, min_rows: int) -> Iterator[Tensor]:
    """Cut an order of rows into batches; a remainder below ``min_rows`` joins the batch before."""
    full = len(order) // size
    remainder = len(order) % size
    if full and remainder < min_rows:
        full -= 1  # the last full batch takes the remainder, or is itself the last
    for at in range(full):
        yield order[at * size : (at + 1) * size]
    yield order[full * size :]


def gather(rows: Mapping[str, Tensor], picked: Tensor) -> dict[str, Tensor]:
    """Copy the picked rows of every tensor: of a mapped one, only their pages are read."""
    return {name: value[picked] for name, value in rows.items()}


def chosen_rows(rows: Mapping[str, Tensor], chosen: Tensor | None, min_rows: int) -> Tensor:
    """Give the numbers of the rows to go through: those chosen, or all.

    Raises:
        InvalidInputError: tensors differ in their number of rows, or there are fewer than ``min_rows``.
    """
    counts = {len(value) if value.ndim else 0 for value in rows.values()}
    if len(counts) != 1:
        raise InvalidInputError(f"data and targets differ in their number of rows: {sorted(counts)}")
    found = torch.arange(counts.pop()) if chosen is None else chosen
    if len(found) < min_rows:
        raise InvalidInputError(f"training needs at least {min_rows} rows")
    return found


def foresee(
    plan: Plan,
    fixed: Mapping[str, Tensor],
    rows: Mapping[str, Tensor],
    lengths: list[int],
    passes: int,
    limits: Limits | None,
) -> dict[int, Propagation]:
    """Propagate shapes for every length of a batch, and refuse what all passes need beyond the limits.

    Raises:
        PlanLimitError: names the need and the limit.
    """
    if limits is None:
        return {}
    found = {
        length: propagate(plan, bind(plan, {**fixed, **{n: v[:length] for n, v in rows.items()}}))
        for length in sorted(set(lengths))
    }
    step = found[max(lengths)].estimate
    everything = sum(value.numel() * value.element_size() for value in rows.values())
    everything += sum(lengths) * BYTES_OF_A_ROW_NUMBER
    admit(Estimate(step.peak_bytes + everything, step.operations * len(lengths) * passes), limits)
    return found
