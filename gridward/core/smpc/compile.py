"""From a plan to a program: gates, rounds, manifest and exact costs. Needs neither torch nor Numba."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from gridward.core.errors import PlanRejectedError
from gridward.core.plans.plan import Constant, Dim, DType, Plan, Ref, Role, Size, Step
from gridward.core.smpc.correlations import manifest, setup_manifest
from gridward.core.smpc.costs import count_costs
from gridward.core.smpc.gate import Input, Output, Shape
from gridward.core.smpc.lowering import (
    LEAST_BITS,
    Arguments,
    Lowering,
    MaxForm,
    Missing,
    Public,
    Secret,
    UnsupportedError,
    Weight,
)
from gridward.core.smpc.program import Form, Port, Program, Register, StepWidth
from gridward.core.smpc.ring import HEADROOM_BITS, RING_BITS
from gridward.core.smpc.rules.table import PRODUCTS, RULES

MAX_PARTIES: Final = 5
_REALS: Final = frozenset({DType.FLOAT32, DType.FLOAT64})


def compile_plan(
    plan: Plan,
    *,
    batch: int,
    parties: int,
    fraction_bits: int = 16,
    width: int = 32,
    levels: int = 2,
    maxima: MaxForm = MaxForm.FITTING,
    input_range: tuple[float, float] | None = None,
    widths: Sequence[StepWidth] = (),
    guard: bool = False,
) -> Program:
    """Compile an inference plan for ``batch`` rows and 2 to 5 parties; equal arguments give equal digests.

    Every value v of the computation must satisfy |v| < 2^(width - 1 - fraction_bits): the compiler cannot see
    values, and a larger one gives a wrong answer. ``levels`` 1 compares in one round fewer than 2, at about
    twice the dealer's bytes. ``maxima`` says how the largest of several is found: in pairs takes fewer rounds
    and more comparisons. Weights of products are parameters; the plan has one data input.

    ``widths`` gives fewer bits to what is compared of some lines of the plan, named as in
    ``Program.origins``; a larger value there gives a wrong answer too. ``guard`` has the client told of such,
    and of values beyond ``width``, wherever something is compared whose bits are not proved. ``input_range``
    is what the client keeps to.

    Raises ``PlanRejectedError`` naming every step that has no encrypted meaning, and ``ValueError`` for
    numbers out of range.
    """
    _check_numbers(batch, parties, fraction_bits, width, levels)
    shapes = {
        item.name: tuple(size for size in item.shape if isinstance(size, int))
        for item in plan.inputs
        if item.role in (Role.PARAM, Role.STATE)
    }
    narrow = _narrowed(widths, width)
    low = Lowering(
        batch, fraction_bits, width, levels, shapes, maxima, _exposed(plan), _readers(plan), narrow, guard
    )
    data = _place_inputs(plan, low)
    faults = [fault for number, step in enumerate(plan.steps) if (fault := _lower(low, number, step))]
    output = _place_output(plan, low, faults)
    if faults or output is None:
        raise PlanRejectedError("cannot run encrypted: " + "; ".join(faults))
    if unknown := narrow.keys() - set(low.origins):
        raise ValueError(f"widths of {sorted(unknown)}, which this plan has not")
    gates, registers, parameters = tuple(low.gates), tuple(low.registers), tuple(low.parameters)
    slots = manifest(gates, registers)
    return Program(
        parties=parties,
        batch=batch,
        fraction_bits=fraction_bits,
        width=width,
        levels=levels,
        input=data,
        output=output,
        parameters=parameters,
        registers=registers,
        gates=gates,
        manifest=slots,
        setup_manifest=setup_manifest(parameters),
        costs=count_costs(gates, registers, parameters, slots, parties),
        input_range=_checked_range(input_range, width - 1 - fraction_bits),
        widths=tuple(widths),
        origins=tuple(low.origins),
        compared=tuple(sorted(low.compared)),
    )


def _check_numbers(batch: int, parties: int, fraction_bits: int, width: int, levels: int) -> None:
    if batch < 1 or not 2 <= parties <= MAX_PARTIES or levels not in (1, 2):
        raise ValueError(f"batch {batch}, parties {parties}, levels {levels}: at least 1, 2 to 5, 1 or 2")
    if not 1 <= fraction_bits < width or fraction_bits + width > RING_BITS - HEADROOM_BITS:
        limit = RING_BITS - HEADROOM_BITS
        raise ValueError(f"{fraction_bits} fraction bits and width {width} must add up to {limit} at most")


def _narrowed(widths: Sequence[StepWidth], width: int) -> dict[str, StepWidth]:
    named = {item.line: item for item in widths}
    if len(named) != len(widths) or any(not LEAST_BITS <= item.bits <= width for item in widths):
        raise ValueError(f"widths are given once a line, from {LEAST_BITS} to {width} bits")
    return named


def _checked_range(declared: tuple[float, float] | None, bits: int) -> tuple[float, float] | None:
    if declared is not None and not -(2.0**bits) < declared[0] <= declared[1] < 2.0**bits:
        raise ValueError(f"an input range {declared} is no interval within magnitudes below {2.0**bits:g}")
    return declared


def _exposed(plan: Plan) -> frozenset[str]:
    """Name the values whose rounding a client may see: those between an output and the last products."""
    names = {output.ref for output in plan.outputs}
    for step in reversed(plan.steps):
        if step.op not in PRODUCTS and not names.isdisjoint(step.out):
            names.update(_references(step))
    return frozenset(names)


def _readers(plan: Plan) -> dict[str, list[Step | None]]:
    """Name the steps that read each value; None stands for the client."""
    readers: dict[str, list[Step | None]] = {}
    for step in plan.steps:
        for name in set(_references(step)):
            readers.setdefault(name, []).append(step)
    for output in plan.outputs:
        readers.setdefault(output.ref, []).append(None)
    return readers


def _place_inputs(plan: Plan, low: Lowering) -> Port:
    for constant in plan.constants:
        low.values[constant.name] = _constant(constant)
    data = [item for item in plan.inputs if item.role is Role.DATA]
    others = [item for item in plan.inputs if item.role not in (Role.DATA, Role.PARAM, Role.STATE)]
    if len(data) != 1 or others or data[0].dtype not in _REALS:
        raise PlanRejectedError("an encrypted plan has one real data input, parameters, and no other input")
    for item in plan.inputs:
        if item is not data[0]:
            fixed = len(low.weight_shapes[item.name]) == len(item.shape) and item.dtype in _REALS
            low.values[item.name] = (
                Weight(item.name, low.weight_shapes[item.name])
                if fixed
                else Missing(f"parameter {item.name!r} is not real or has an open size")
            )
    shape = _sized(data[0].shape, low.batch)
    low.line = f"input {data[0].name}"
    register = low.emit(Register(shape, low.fraction_bits, Form.WIRE), lambda out: Input((), out))
    low.values[data[0].name] = Secret(register, False, data[0].name in low.exposed_names)
    return Port(data[0].name, shape, low.fraction_bits)


def _constant(constant: Constant) -> Public:
    dtype = np.dtype(str(constant.dtype)).newbyteorder("<")
    array = np.frombuffer(constant.data, dtype=dtype).reshape(constant.shape)
    return Public(array.astype(np.float64))


def _sized(shape: tuple[Size, ...], batch: int) -> Shape:
    if len({size.name for size in shape if isinstance(size, Dim)}) > 1:
        raise PlanRejectedError("an encrypted plan has one open size, the batch")
    sizes = tuple(batch if isinstance(size, Dim) else size for size in shape)
    if not sizes or sizes[0] != batch:
        raise PlanRejectedError(f"this plan takes {sizes[:1]} rows, not {batch}")
    return sizes


def _lower(low: Lowering, number: int, step: Step) -> str | None:
    """Compile one step; give the fault it is to be blamed for, if any."""
    results = tuple(Missing(f"step {number}") for _ in step.out)
    low.values.update(zip(step.out, results, strict=True))
    low.line = f"step {number} {step.op}"
    rule = RULES.get(step.op)
    if rule is None:
        return f"step {number} {step.op}: has no encrypted gate"
    absent = [low.values[name] for name in _references(step) if isinstance(low.values[name], Missing)]
    if absent:
        why = absent[0].why if isinstance(absent[0], Missing) else ""
        return None if why.startswith("step ") else f"step {number} {step.op}: {why}"
    try:
        made = rule(Arguments(step, low), low, not low.exposed_names.isdisjoint(step.out))
    except UnsupportedError as why:
        return f"step {number} {step.op}: {why}"
    low.values.update(zip(step.out, made, strict=True))
    return None


def _references(step: Step) -> list[str]:
    names = []
    for argument in step.args:
        if isinstance(argument, Ref):
            names.append(argument.name)
        elif isinstance(argument, tuple):
            names += [item.name for item in argument if isinstance(item, Ref)]
    return names


def _place_output(plan: Plan, low: Lowering, faults: list[str]) -> Port | None:
    if len(plan.outputs) != 1:
        faults.append(f"there are {len(plan.outputs)} outputs; encrypted plans have one")
        return None
    output = plan.outputs[0]
    value = low.values[output.ref]
    if output.role is not Role.OUTPUT:
        faults.append(f"output {output.name!r} is a {output.role}; encrypted plans are inference plans")
    elif isinstance(value, Secret):
        return _emit_output(low, output.name, value)
    elif not faults:
        why = value.why if isinstance(value, Missing) else "does not depend on the query"
        faults.append(f"output {output.name!r}: {why}")
    return None


def _emit_output(low: Lowering, name: str, value: Secret) -> Port:
    source = low.in_range(value)
    held = low.registers[source]
    low.emit(Register(held.shape, held.scale, Form.SHARE), lambda out: Output((source,), out, name))
    return Port(name, held.shape, held.scale)
