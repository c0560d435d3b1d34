"""The publish gate: what must hold before a plan is stored or sent."""

import warnings
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from gridward.core.errors import PlanRejectedError
from gridward.core.plans.executors.plain import run
from gridward.core.plans.executors.shapes import distinct_rows, every_row, propagate
from gridward.core.plans.plan import Cost, Plan
from gridward.core.plans.trace import Traced, resize
from gridward.core.plans.validate import MAX_SIZE, check, listing

BATCHES = (1, 2, 17)
#: Sizes for the check that no plan relies on two unrelated sizes being equal.
UNRELATED = 1009


def publish(traced: Traced) -> Traced:
    """Check a traced plan as its author and fill in its cost.

    Everything ``admit`` checks, and equality with the author's eager result at 1, 2 and 17 rows (floats to
    1e-5 relative, 1e-6 absolute: threads of torch may add in another order).
    Cost: three runs of the plan and of the author's function.

    Raises:
        PlanRejectedError: names steps or outputs, and the number of rows at which they differ.
    """
    cost = admit(traced.plan)
    fewest = max((bounds.low for _, bounds in traced.plan.dims), default=0)
    for rows in sorted({max(rows, fewest) for rows in BATCHES}):
        inputs = resize(traced.examples, traced.plan, rows)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wanted, given = traced.eager(inputs), run(traced.plan, inputs)
        problems = [
            f"output {name!r} {problem}" for name in given if (problem := _unlike(given[name], wanted[name]))
        ]
        if problems:
            raise PlanRejectedError(
                f"with {rows} rows the plan is not what its author computes: {listing(problems)}"
            )
    return replace(traced, plan=replace(traced.plan, cost=cost))


def admit(plan: Plan) -> Cost:
    """Check a plan as whoever stores it: rules, and shapes at 1, 2 and 17 rows; nothing is computed.

    Unrelated dynamic sizes, and the rows that different masks keep, are also tried with different numbers, so
    that a plan cannot work for some data and fail for other by shapes alone.

    Returns: the cost of one run with one row: operations, peak bytes.

    Raises:
        PlanRejectedError: names every offending step.
    """
    check(plan)
    first = propagate(plan, _sizes(plan, BATCHES[0])).estimate
    for rows in BATCHES[1:]:
        propagate(plan, _sizes(plan, rows), every_row)
    propagate(plan, _sizes(plan, UNRELATED, apart=7), distinct_rows)
    return Cost(flops_per_sample=first.operations, peak_bytes=first.peak_bytes)


def _sizes(plan: Plan, rows: int, apart: int = 0) -> Mapping[str, int]:
    return {
        name: min(max(rows + at * apart, bounds.low), MAX_SIZE if bounds.high is None else bounds.high)
        for at, (name, bounds) in enumerate(plan.dims)
    }


def _unlike(given: Tensor, wanted: Tensor) -> str | None:
    if given.dtype != wanted.dtype or given.shape != wanted.shape:
        return f"is {given.dtype} {list(given.shape)}, not {wanted.dtype} {list(wanted.shape)}"
    if given.is_floating_point():
        same = torch.allclose(given, wanted, rtol=1e-5, atol=1e-6, equal_nan=True)
    else:
        same = torch.equal(given, wanted)
    return None if same else "differs in value"
