"""Run a plan in the clear on torch tensors, within limits."""

import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from gridward.core.errors import InvalidInputError, PlanFailedError, PlanLimitError
from gridward.core.plans.dtypes import DTYPES, NAMES
from gridward.core.plans.executors.devices import CPU
from gridward.core.plans.executors.limits import Limits, admit
from gridward.core.plans.executors.rules import apply, constant
from gridward.core.plans.executors.shapes import Propagation, last_uses, propagate
from gridward.core.plans.plan import Dim, Input, Plan, Step
from gridward.core.plans.validate import blame


def run(
    plan: Plan,
    inputs: Mapping[str, Tensor],
    limits: Limits | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Tensor]:
    """Compute a checked plan: input name -> tensor becomes output name -> tensor.

    Results may share memory with inputs; nothing is changed in place. With limits, memory and operations are
    estimated and refused before the run; time is looked at between steps, so that one long step overruns:
    ``executors.worker`` ends it. Then every value must also have the shape and dtype that were foreseen:
    whoever judged the plan by them judged what ran.

    Raises:
        InvalidInputError: an input is missing, unknown, or of another dtype or shape than declared.
        PlanLimitError: the plan needs more than its limits.
        PlanRejectedError: the shapes do not fit each other; names the steps.
        PlanFailedError: a step failed on these values. The message names the step and never the values.
    """
    dims = bind(plan, inputs)
    if limits is None:
        return execute(plan, inputs, dims, clock=clock)
    foreseen = propagate(plan, dims)
    admit(foreseen.estimate, limits)
    return execute(plan, inputs, dims, deadline=clock() + limits.time_s, clock=clock, foreseen=foreseen)


def bind(plan: Plan, inputs: Mapping[str, Tensor]) -> dict[str, int]:
    """Match tensors to the declared inputs and find the sizes of the dynamic dims.

    Raises:
        InvalidInputError: names every input that does not fit.
    """
    declared = {value.name for value in plan.inputs}
    problems = [f"{name!r} is missing" for name in sorted(declared - set(inputs))]
    problems += [f"{name!r} is not an input of the plan" for name in sorted(set(inputs) - declared)]
    dims: dict[str, int] = {}
    for value in plan.inputs:
        if value.name in inputs:
            problems += _mismatches(value, inputs[value.name], dims)
    for name, bounds in plan.dims:
        size = dims.get(name, bounds.low)
        if size < bounds.low or (bounds.high is not None and size > bounds.high):
            problems.append(f"dim {name!r} is {size}, outside {bounds.low} to {bounds.high}")
    if problems:
        raise InvalidInputError(f"inputs do not fit plan {plan.name!r}: {'; '.join(problems[:20])}")
    return dims


def execute(
    plan: Plan,
    inputs: Mapping[str, Tensor],
    dims: Mapping[str, int],
    deadline: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    foreseen: Propagation | None = None,
    device: torch.device = CPU,
) -> dict[str, Tensor]:
    """Compute a plan on inputs that ``bind`` has matched, and that lie on the ``device``.

    Raises:
        PlanLimitError: the deadline passed between two steps.
        PlanFailedError: a step failed on these values, or made something else than was ``foreseen``.
    """
    values: dict[str, Tensor | None] = dict(inputs)
    values.update((fixed.name, constant(fixed).to(device)) for fixed in plan.constants)
    dying: dict[int, list[str]] = {}
    for name, at in last_uses(plan).items():
        dying.setdefault(at, []).append(name)
    with torch.no_grad():
        for at, step in enumerate(plan.steps):
            if deadline is not None and clock() > deadline:
                raise PlanLimitError(f"the time limit passed before {blame(at, step)}")
            values.update(zip(step.out, _compute(at, step, values, dims, device), strict=True))
            if foreseen is not None:
                _require_foreseen(at, step, values, foreseen)
            for name in dying.get(at, ()):
                del values[name]
    return {output.name: _present(values[output.ref], output.name) for output in plan.outputs}


def _compute(
    at: int,
    step: Step,
    values: Mapping[str, Tensor | None],
    dims: Mapping[str, int],
    device: torch.device,
) -> tuple[Tensor | None, ...]:
    try:
        made = apply(step, values, dims, device)
        if device.type == "cuda":
            torch.cuda.synchronize(device)  # a kernel that fails is blamed on its own step
        return made
    except MemoryError as why:
        raise PlanLimitError(f"{blame(at, step)} ran out of memory") from why
    except (RuntimeError, ValueError, IndexError, TypeError, ArithmeticError) as why:
        if "can't allocate memory" in str(why) or isinstance(why, torch.OutOfMemoryError):
            raise PlanLimitError(f"{blame(at, step)} ran out of memory") from why
        # Torch's message may quote a value ("index 7 is out of bounds"): private rows stay out of it.
        raise PlanFailedError(
            f"{blame(at, step)} failed on these values ({type(why).__name__}); "
            "an index, a class label or a shape made by a mask does not fit"
        ) from None


def _require_foreseen(
    at: int, step: Step, values: Mapping[str, Tensor | None], foreseen: Propagation
) -> None:
    for name in step.out:
        made, wanted = values[name], foreseen.values[name]
        if name in foreseen.vague or (made is None and wanted is None):
            continue
        if made is None or wanted is None or made.shape != wanted.shape or made.dtype is not wanted.dtype:
            raise PlanFailedError(f"{blame(at, step)} made a value of another shape or dtype than foreseen")


def _mismatches(value: Input, tensor: Tensor, dims: dict[str, int]) -> list[str]:
    if NAMES.get(tensor.dtype) is not value.dtype:
        return [f"{value.name!r} is {tensor.dtype}, not {DTYPES[value.dtype]}"]
    if tensor.ndim != len(value.shape):
        return [f"{value.name!r} has {tensor.ndim} dimensions, not {len(value.shape)}"]
    problems = []
    for at, (wanted, size) in enumerate(zip(value.shape, tensor.shape, strict=True)):
        expected = dims.setdefault(wanted.name, size) if isinstance(wanted, Dim) else wanted
        if size != expected:
            problems.append(f"{value.name!r} has size {size} in dimension {at}, not {expected}")
    return problems


def _present(value: Tensor | None, name: str) -> Tensor:
    if value is None:
        raise PlanFailedError(f"output {name!r} is a gradient that its step leaves out")
    return value
