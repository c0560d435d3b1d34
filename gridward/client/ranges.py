"""How large the values of an encrypted model get: declared, proved, or measured on samples by its owner."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from gridward.core.errors import InvalidInputError
from gridward.core.plans.plan import Plan
from gridward.core.smpc.compile import compile_plan
from gridward.core.smpc.kernels import reference
from gridward.core.smpc.kernels.seam import Kernels
from gridward.core.smpc.program import Program, StepWidth
from gridward.core.smpc.widths import MARGIN_BITS, most, narrowed, proved_bits, seen_bits

Values: TypeAlias = Mapping[str, NDArray[np.float64]]

SAMPLES_AT_ONCE: Final = 16


@dataclass(frozen=True, slots=True)
class Ranges:
    """What an encrypted model's owner says of the magnitudes in it; without it every value may have 2^15.

    ``input``: no query leaves this interval; the SDK refuses one that does. ``calibrate``: samples, batch
    first; each line of the plan is compared in as many bits as the largest value that they give it takes, and
    ``margin_bits`` more, which is 2^margin_bits times as large. ``by_parameters``: bounds that hold for every
    input are made with the model's weights too. Fewer bits cost less; a larger value gives a wrong answer.
    ``guard``: the asker is told, by ``RangeViolationError``, and nobody else.

    The bits are public to all roles of the deployment, and tell to a power of two how large inner values got:
    over the samples, or for the worst input, which is something about the weights.
    """

    input: tuple[float, float] | None = None
    calibrate: torch.Tensor | None = None
    margin_bits: int = MARGIN_BITS
    by_parameters: bool = False
    guard: bool = False


def widths_of(
    plan: Plan, parameters: Values, ranges: Ranges, kernels: Kernels = reference
) -> list[StepWidth]:
    """Give the lines of a plan that need fewer bits than the program's width, as the ranges say.

    Raises ``OutOfRangeError`` for samples beyond the declared or the fixed-point range, ``PlanRejectedError``
    naming every operation that has no encrypted form, ``InvalidInputError`` for numbers that do not fit.
    """
    try:
        program = _compiled(plan, 1, ranges)
        proved = proved_bits(program, parameters if ranges.by_parameters else None)
        seen = (
            None if ranges.calibrate is None else _seen(plan, parameters, ranges.calibrate, ranges, kernels)
        )
        return list(narrowed(program.width, proved, seen, ranges.margin_bits))
    except ValueError as why:
        raise InvalidInputError(f"these ranges do not fit the model: {why}") from why


def _seen(
    plan: Plan, parameters: Values, samples: torch.Tensor, ranges: Ranges, kernels: Kernels
) -> dict[str, int]:
    if not len(samples):
        raise InvalidInputError("there are no samples to calibrate with")
    return most(
        seen_bits(_compiled(plan, len(some), ranges), parameters, some.double().numpy(), kernels)
        for some in torch.split(samples, SAMPLES_AT_ONCE)
    )


def _compiled(plan: Plan, batch: int, ranges: Ranges) -> Program:
    return compile_plan(plan, batch=batch, parties=2, input_range=ranges.input)
