"""One pass of an evaluation plan over rows: the loss and metrics of parameters that do not change."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from gridward.core.errors import InvalidInputError, PlanLimitError
from gridward.core.plans.executors.batches import batches, chosen_rows, foresee, gather, placed
from gridward.core.plans.executors.devices import CPU
from gridward.core.plans.executors.limits import Limits
from gridward.core.plans.executors.plain import bind, execute
from gridward.core.plans.executors.rows import Rows
from gridward.core.plans.plan import Kind, Plan, Role


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The row-weighted mean loss, and each metric's sum over the batches."""

    rows: int
    loss: float
    metrics: dict[str, float]


def evaluate(
    plan: Plan,
    parameters: Mapping[str, Tensor],
    rows: Mapping[str, Rows],
    batch_size: int,
    min_rows: int = 1,
    *,
    chosen: Tensor | None = None,
    limits: Limits | None = None,
    clock: Callable[[], float] = time.monotonic,
    device: torch.device = CPU,
) -> Evaluation:
    """Judge parameters by a plan of kind ``evaluation`` over the ``chosen`` rows, or all, on a device.

    Raises:
        InvalidInputError: inputs do not fit the plan, or there are fewer rows than ``min_rows``.
        PlanLimitError: it needs more than its limits.
        PlanFailedError: a step failed on these values.
    """
    if plan.kind is not Kind.EVALUATION:
        raise InvalidInputError(f"plan {plan.name!r} is for {plan.kind}, not for evaluation")
    order = chosen_rows(rows, chosen, min_rows)
    lengths = [len(batch) for batch in batches(order, batch_size, min_rows)]
    held = placed(parameters, device)
    foreseen = foresee(plan, held, rows, lengths, 1, limits)
    deadline = clock() + limits.time_s if limits else None
    loss, sums = 0.0, dict[str, float]()
    for picked in batches(order, batch_size, min_rows):
        if deadline is not None and clock() > deadline:
            raise PlanLimitError("the time limit passed while the parameters were judged")
        fed = held | gather(rows, picked, device)
        results = execute(plan, fed, bind(plan, fed), deadline, clock, foreseen.get(len(picked)), device)
        loss += _take(plan, results, sums) * len(picked)
    return Evaluation(len(order), loss / len(order), sums)


def _take(plan: Plan, results: Mapping[str, Tensor], sums: dict[str, float]) -> float:
    """Add up metrics, give the loss."""
    loss = 0.0
    for output in plan.outputs:
        value = results[output.name]
        if output.role is Role.LOSS:
            loss = float(value)
        elif value.numel() == 1:
            sums[output.name] = sums.get(output.name, 0.0) + float(value)
    return loss
