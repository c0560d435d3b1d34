"""Round counts inside a plan, before anything is made of them: nobody learns the exact ones.

Rounded are sums and means of masks over rows, made into numbers or not, and bins of histograms. Anything else
that adds up nothing but masks is a count in disguise, which ``policy`` suppresses where counts are rounded.

What this does not stop: arithmetic with data. Two sums over one mask, of x + 1 and of x, differ by its exact
count, and x * 0 + mask is a column like any other. Rounding is for honest questions, as thresholds are.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from gridward.core.plans.ops import Op
from gridward.core.plans.plan import DType, Plan, Ref, Step


@dataclass(frozen=True, slots=True)
class Count:
    """A value of a plan that counts rows of ``table``; as a part of so many ``parts``, for a mean."""

    table: str
    value: str
    dtype: DType
    parts: int = 1


@dataclass(frozen=True, slots=True)
class Disguised:
    """A result that counts rows of ``table`` in a way that is not rounded: the step to blame."""

    table: str
    step: str


def rounded(plan: Plan, counts: Sequence[Count], bases: Mapping[str, int], exact: Collection[str]) -> Plan:
    """Round counts of each table to the nearest multiple of its base; outputs named in ``exact`` are not."""
    wanted = {count.value: (count, bases[count.table]) for count in counts if bases.get(count.table, 1) > 1}
    if not wanted:
        return plan
    taken = {name for step in plan.steps for name in step.out} | {given.name for given in plan.inputs}
    taken |= {constant.name for constant in plan.constants}
    steps: list[Step] = []
    raw: dict[str, str] = {}
    for step in plan.steps:
        found = wanted.get(step.out[0])
        if found is None:
            steps.append(step)
            continue
        names = _names(f"exact.{len(raw)}", taken)
        raw[step.out[0]] = names[0]
        steps.append(replace(step, out=(names[0], *step.out[1:])))
        steps += _steps(names, step.out[0], *found)
    outputs = tuple(
        replace(one, ref=raw.get(one.ref, one.ref)) if one.name in exact else one for one in plan.outputs
    )
    return replace(plan, steps=tuple(steps), outputs=outputs)


def _names(stem: str, taken: set[str]) -> list[str]:
    while any(f"{stem}.{at}" in taken for at in range(5)):
        stem += "_"
    names = [f"{stem}.{at}" for at in range(5)]
    taken.update(names)
    return names


def _steps(names: Sequence[str], value: str, count: Count, base: int) -> list[Step]:
    raw, real, parts, whole, near = names
    unit = base if count.parts == 1 else base / count.parts
    return [
        Step(Op.TO_COPY, (Ref(raw), DType.FLOAT64), (real,)),
        Step(Op.DIV_SCALAR, (Ref(real), unit), (parts,)),
        Step(Op.ROUND, (Ref(parts),), (whole,)),
        Step(Op.MUL_SCALAR, (Ref(whole), unit), (near,)),
        Step(Op.TO_COPY, (Ref(near), count.dtype), (value,)),
    ]
