"""A plan in words: one line for each input, constant, operation and output, with types and shapes."""

import struct
from collections.abc import Callable, Mapping
from typing import Final

from gridward.core.plans.plan import Argument, Constant, Dim, DType, Output, Plan, Ref, Size, Step
from gridward.core.plans.table import SPECS

#: Element type and shape of every value, where they are known.
Types = Mapping[str, tuple[DType, tuple[int, ...]]]

SHOWN: Final = 16
_CODES: Final[Mapping[DType, str]] = {
    DType.FLOAT32: "f",
    DType.FLOAT64: "d",
    DType.INT32: "i",
    DType.INT64: "q",
    DType.UINT8: "B",
    DType.BOOL: "?",
}


def lines(plan: Plan, types: Types, sources: Mapping[str, str]) -> list[str]:
    """Write a checked plan for people who decide on it; nothing that it does is left out.

    ``sources`` says in words what feeds an input; an input without an entry is a public value.
    """
    of = _typed(types)
    return [
        *(
            f"{given.name}{of(given.name)} = {sources.get(given.name, 'a public value')}"
            for given in plan.inputs
        ),
        *(_constant(constant) for constant in plan.constants),
        *(_step(step, of) for step in plan.steps),
        *(_output(output, of) for output in plan.outputs),
    ]


def _typed(types: Types) -> Callable[[str], str]:
    def of(name: str) -> str:
        if name not in types:
            return ""
        dtype, shape = types[name]
        return f": {dtype.value}[{', '.join(map(str, shape))}]"

    return of


def _constant(constant: Constant) -> str:
    head = f"{constant.name}: {constant.dtype.value}[{', '.join(map(str, constant.shape))}] = "
    values = [value for (value,) in struct.iter_unpack(f"<{_CODES[constant.dtype]}", constant.data)]
    shown = ", ".join(f"{value:.9g}" if isinstance(value, float) else str(value) for value in values[:SHOWN])
    return head + shown + (f", and {len(values) - SHOWN} more" if len(values) > SHOWN else "")


def _step(step: Step, of: Callable[[str], str]) -> str:
    made = ", ".join(name + of(name) for name in step.out)
    params = SPECS[step.op].params
    named = (
        _argument(value) if isinstance(value, Ref) else f"{param.name}={_argument(value)}"
        for param, value in zip(params, step.args, strict=False)
        if value is not None
    )
    return f"{made} = {step.op.value.removeprefix('aten.')}({', '.join(named)})"


def _output(output: Output, of: Callable[[str], str]) -> str:
    return f"{output.role.value} {output.name}{of(output.ref)} = {output.ref}"


def _argument(value: Argument | Size) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(_argument(item) for item in value)}]"
    if isinstance(value, Ref | Dim):
        return value.name
    return value.value if isinstance(value, DType) else str(value)
