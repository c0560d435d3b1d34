"""The training loop around a training plan: shuffled batches, epochs, updated parameters."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from gridward.core.errors import InvalidInputError, PlanLimitError
from gridward.core.plans.executors.batches import (
    batches,
    chosen_rows,
    draw,
    fewest_rows,
    foresee,
    gather,
    placed,
)
from gridward.core.plans.executors.devices import CPU
from gridward.core.plans.executors.limits import Limits
from gridward.core.plans.executors.plain import bind, execute
from gridward.core.plans.executors.rows import Rows
from gridward.core.plans.plan import Kind, Plan, Role

#: Dropout draws apart from the order of rows: that is the same with and without it.
_DRAWING: Final = 0x5EED


@dataclass(frozen=True, slots=True)
class Schedule:
    """How to go through the rows. No batch has fewer than ``min_rows`` rows.

    ``seed`` orders the rows, and draws what dropout leaves out.
    """

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
    rows: Mapping[str, Rows],
    schedule: Schedule,
    *,
    hyper: Mapping[str, Tensor] | None = None,
    chosen: Tensor | None = None,
    limits: Limits | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
    device: torch.device = CPU,
) -> Training:
    """Train by a plan: one step a batch, parameters and state replaced by the outputs of the same name.

    Args:
        plan: kind ``training``.
        parameters: value of every ``param`` and ``state`` input, by name; not changed.
        rows: every ``data`` and ``target`` input, in memory or mapped; all have the same number of rows.
        schedule: batches of ``batch_size`` rows in an order drawn from ``seed``; a remainder below
            ``min_rows`` joins the batch before it.
        hyper: value of every ``hyper`` input.
        chosen: numbers of the rows to train on; all rows without it.
        limits: memory of the largest step and of rows in memory, operations and time of the whole training.
        on_epoch: told of each epoch as it ends.
        clock: seconds, for the time limit.
        device: where to compute. Order and draws are those of the processor; results come back to it.

    Raises:
        InvalidInputError: inputs do not fit the plan, or there are fewer rows than ``min_rows``.
        PlanLimitError: the training needs more than its limits.
        PlanFailedError: a step failed on these values.
    """
    held, settings = placed(parameters, device), placed(hyper or {}, device)
    if plan.kind is not Kind.TRAINING:
        raise InvalidInputError(f"plan {plan.name!r} is for {plan.kind}, not for training")
    least = fewest_rows(plan, schedule.min_rows)
    among = chosen_rows(rows, chosen, least)
    count, sizes = len(among), (schedule.batch_size, least)
    lengths = [len(batch) for batch in batches(among, *sizes)]
    foreseen = foresee(plan, held | settings, rows, lengths, schedule.epochs, limits)
    deadline = clock() + limits.time_s if limits else None
    generator = torch.Generator().manual_seed(schedule.seed)
    drawing = torch.Generator().manual_seed(schedule.seed ^ _DRAWING)
    history: list[Epoch] = []
    for epoch in range(schedule.epochs):
        order = among[torch.randperm(count, generator=generator)]
        loss, sums = 0.0, dict[str, float]()
        for picked in batches(order, *sizes):
            if deadline is not None and clock() > deadline:
                raise PlanLimitError(f"the time limit passed in epoch {epoch + 1} of {schedule.epochs}")
            fed = held | settings | gather(rows, picked, device) | draw(plan, len(picked), drawing, device)
            results = execute(plan, fed, bind(plan, fed), deadline, clock, foreseen.get(len(picked)), device)
            loss += _take(plan, results, held, sums) * len(picked)
        history.append(Epoch(epoch, count, len(lengths), loss / count, sums))
        if on_epoch:
            on_epoch(history[-1])
    return Training(placed(held, CPU), tuple(history))


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
