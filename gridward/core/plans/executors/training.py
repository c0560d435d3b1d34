"""The training loop around a training plan: shuffled batches, epochs, updated parameters."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from gridward.core.errors import InvalidInputError, PlanLimitError
from gridward.core.plans.executors.limits import Estimate, Limits, admit
from gridward.core.plans.executors.plain import bind, execute
from gridward.core.plans.executors.shapes import Propagation, propagate
from gridward.core.plans.plan import Kind, Plan, Role

BYTES_OF_A_ROW_NUMBER: Final = 8


@dataclass(frozen=True, slots=True)
class Schedule:
    """How to go through the rows. ``seed`` orders them; no batch has fewer than ``min_rows`` rows."""

    batch_size: int
    epochs: int
    seed: int
    min_rows: int = 1

    def __post_init__(self) -> None:
        """Refuse what trains on nothing, and batches smaller than the least."""
        if self.epochs < 1 or self.min_rows < 1 or self.batch_size < self.min_rows:
            raise InvalidInputError("epochs and min_rows are at least 1, and batch_size at least min_rows")
        if not 0 <= self.seed < 2**63:
            raise InvalidInputError("the seed is not between 0 and 2**63 - 1")


@dataclass(frozen=True, slots=True)
class Epoch:
    """What one pass over the rows gave: the row-weighted mean loss, each metric's sum over the batches."""

    epoch: int
    rows: int
    steps: int
    loss: float
    metrics: dict[str, float]


@dataclass(frozen=True, slots=True)
class Training:
    """Updated values of the ``param`` and ``state`` inputs, and the history of epochs."""

    parameters: dict[str, Tensor]
    history: tuple[Epoch, ...]


def run_epochs(
    plan: Plan,
    parameters: Mapping[str, Tensor],
    rows: Mapping[str, Tensor],
    schedule: Schedule,
    *,
    hyper: Mapping[str, Tensor] | None = None,
    limits: Limits | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Training:
    """Train by a plan: one step a batch, parameters and state replaced by the outputs of the same name.

    Args:
        plan: kind ``training``.
        parameters: value of every ``param`` and ``state`` input, by name; not changed.
        rows: value of every ``data`` and ``target`` input; all have the same number of rows.
        schedule: batches of ``batch_size`` rows in an order drawn from ``seed``; a remainder below
            ``min_rows`` joins the batch before it.
        hyper: value of every ``hyper`` input.
        limits: memory of the largest step and all rows, operations and time of the whole training.
        on_epoch: told of each epoch as it ends.
        clock: seconds, for the time limit.

    Raises:
        InvalidInputError: inputs do not fit the plan, or there are fewer rows than ``min_rows``.
        PlanLimitError: the training needs more than its limits.
        PlanFailedError: a step failed on these values.
    """
    held, settings = dict(parameters), dict(hyper or {})
    count = _count(plan, rows, schedule)
    lengths = [len(batch) for batch in _batches(torch.arange(count), schedule)]
    foreseen: dict[int, Propagation] = {}
    if limits:
        for length in sorted(set(lengths)):
            batch = {name: value[:length] for name, value in rows.items()}
            foreseen[length] = propagate(plan, bind(plan, held | settings | batch))
        largest = foreseen[max(lengths)].estimate
        admit(_whole(largest, len(lengths) * schedule.epochs, count, rows), limits)
    deadline = clock() + limits.time_s if limits else None
    generator = torch.Generator().manual_seed(schedule.seed)
    history: list[Epoch] = []
    for epoch in range(schedule.epochs):
        order = torch.randperm(count, generator=generator)
        loss, sums = 0.0, dict[str, float]()
        for picked in _batches(order, schedule):
            if deadline is not None and clock() > deadline:
                raise PlanLimitError(f"the time limit passed in epoch {epoch + 1} of {schedule.epochs}")
            fed = held | settings | {name: value[picked] for name, value in rows.items()}
            dims = bind(plan, fed)
            results = execute(plan, fed, dims, deadline, clock, foreseen.get(len(picked)))
            loss += _take(plan, results, held, sums) * len(picked)
        history.append(Epoch(epoch, count, len(lengths), loss / count, sums))
        if on_epoch:
            on_epoch(history[-1])
    return Training(held, tuple(history))


def _count(plan: Plan, rows: Mapping[str, Tensor], schedule: Schedule) -> int:
    if plan.kind is not Kind.TRAINING:
        raise InvalidInputError(f"plan {plan.name!r} is for {plan.kind}, not for training")
    counts = {len(value) if value.ndim else 0 for value in rows.values()}
    if len(counts) != 1:
        raise InvalidInputError(f"data and targets differ in their number of rows: {sorted(counts)}")
    count = counts.pop()
    if count < schedule.min_rows:
        raise InvalidInputError(f"training needs at least {schedule.min_rows} rows")
    return count


def _batches(order: Tensor, schedule: Schedule) -> Iterator[Tensor]:
    full = len(order) // schedule.batch_size
    remainder = len(order) % schedule.batch_size
    if full and remainder < schedule.min_rows:
        full -= 1  # the last full batch takes the remainder, or is itself the last
    for at in range(full):
        yield order[at * schedule.batch_size : (at + 1) * schedule.batch_size]
    yield order[full * schedule.batch_size :]


def _whole(step: Estimate, steps: int, count: int, rows: Mapping[str, Tensor]) -> Estimate:
    everything = sum(value.numel() * value.element_size() for value in rows.values())
    return Estimate(step.peak_bytes + everything + count * BYTES_OF_A_ROW_NUMBER, step.operations * steps)


def _take(
    plan: Plan, results: Mapping[str, Tensor], held: dict[str, Tensor], sums: dict[str, float]
) -> float:
    """Replace parameters, add up metrics, give the loss."""
    loss = 0.0
    for output in plan.outputs:
        value = results[output.name]
        if output.role in (Role.PARAM, Role.STATE):
            held[output.name] = value
        elif output.role is Role.LOSS:
            loss = float(value)
        elif value.numel() == 1:
            sums[output.name] = sums.get(output.name, 0.0) + float(value)
    return loss
