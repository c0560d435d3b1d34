"""What is counted of those behind the sums of a plan: names of values, never values themselves.

A tally reads operands of one sum over rows and says of the people behind it how much of it the largest are.
``executors.tally`` computes one beside a run; what it gives are three numbers for a whole tensor.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from gridward.core.plans.plan import Output, Plan, Role


class TallyKind(StrEnum):
    """What one row contributes to each element of a result."""

    SUM = "sum"  # the operand itself, added up over `over`
    SQUARES = "squares"  # the squared distance from the mean over `over`
    PRODUCT = "product"  # left[..., i, row] * right[..., row, j]
    MASK = "mask"  # whether the operand lets it through


@dataclass(frozen=True, slots=True)
class Tally:
    """One count: its name, the table whose rows run along ``axis`` of the (first) operand, from the right.

    ``operands`` are names of values of the plan, or, once ``expose`` went over it, of its outputs.
    """

    name: str
    kind: TallyKind
    table: str
    operands: tuple[str, ...]
    axis: int
    over: tuple[int, ...] = ()

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> "Tally":
        """Read one from JSON."""
        return cls(
            raw["name"],
            TallyKind(raw["kind"]),
            raw["table"],
            tuple(raw["operands"]),
            raw["axis"],
            tuple(raw["over"]),
        )


def expose(plan: Plan, tallies: Sequence[Tally]) -> tuple[Plan, tuple[Tally, ...]]:
    """Extend a plan by outputs for every operand that is tallied; the tallies then read these."""
    taken = {output.name for output in plan.outputs}
    named: dict[str, str] = {}
    for operand in dict.fromkeys(name for one in tallies for name in one.operands):
        at = len(named)
        while (output := f"tallied.{at}") in taken:
            at += len(taken) + 1
        taken.add(output)
        named[operand] = output
    outputs = tuple(Output(output, Role.OUTPUT, operand) for operand, output in named.items())
    reading = tuple(replace(one, operands=tuple(named[name] for name in one.operands)) for one in tallies)
    return replace(plan, outputs=(*plan.outputs, *outputs)), reading
