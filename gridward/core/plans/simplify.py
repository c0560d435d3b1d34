"""Shorten a plan without changing a bit of its results: common steps once, unread steps never."""

from dataclasses import replace

from gridward.core.plans.ops import Op
from gridward.core.plans.plan import Argument, Plan, Ref, Role, Step
from gridward.core.plans.validate import references


def simplify(plan: Plan) -> Plan:
    """Merge equal steps, join permutations, drop steps and state inputs that nothing reads, number values.

    Every op of the table is a pure function, so equal steps have equal results. Parameters, data, targets and
    hyperparameters stay inputs even when unread: runners feed them by name.
    """
    steps, renamed = _merge(plan.steps)
    outputs = tuple(replace(output, ref=renamed.get(output.ref, output.ref)) for output in plan.outputs)
    needed = {output.ref for output in outputs}
    kept: list[Step] = []
    for step in reversed(steps):
        if not needed.isdisjoint(step.out):
            needed.update(references(step))
            kept.append(step)
    kept.reverse()
    needed.update(output.name for output in outputs)
    inputs = tuple(value for value in plan.inputs if value.role is not Role.STATE or value.name in needed)
    constants = tuple(value for value in plan.constants if value.name in needed)
    return _number(replace(plan, inputs=inputs, constants=constants, steps=tuple(kept), outputs=outputs))


def rename(step: Step, names: dict[str, str]) -> Step:
    """Give the step with other names for values."""
    return Step(
        step.op,
        tuple(_rename(argument, names) for argument in step.args),
        tuple(names.get(name, name) for name in step.out),
    )


def _rename(argument: Argument, names: dict[str, str]) -> Argument:
    if isinstance(argument, Ref):
        return Ref(names.get(argument.name, argument.name))
    if isinstance(argument, tuple) and any(isinstance(item, Ref) for item in argument):
        return tuple(Ref(names.get(i.name, i.name)) if isinstance(i, Ref) else None for i in argument)
    return argument


def _merge(steps: tuple[Step, ...]) -> tuple[list[Step], dict[str, str]]:
    renamed: dict[str, str] = {}
    first: dict[tuple[Op, str], tuple[str, ...]] = {}
    permuted: dict[str, tuple[Ref, tuple[int, ...]]] = {}
    kept: list[Step] = []
    for original in steps:
        step = rename(original, renamed)
        if step.op is Op.PERMUTE:
            step = _join(step, permuted)
            source, order = permuted[step.out[0]]
            if order == tuple(range(len(order))):
                renamed[step.out[0]] = source.name
                continue
        # repr tells 1 from 1.0 and from True, and nan from nothing but itself; equality does not.
        key = (step.op, repr(step.args))
        if key in first:
            renamed.update(zip(step.out, first[key], strict=True))
        else:
            first[key] = step.out
            kept.append(step)
    return kept, renamed


def _join(step: Step, permuted: dict[str, tuple[Ref, tuple[int, ...]]]) -> Step:
    source, order = step.args
    if not isinstance(source, Ref) or not isinstance(order, tuple):
        raise TypeError("a permutation takes a value and an order")
    places = [item % len(order) for item in order if isinstance(item, int)]
    if source.name in permuted:
        source, inner = permuted[source.name]
        places = [inner[place] for place in places]
    permuted[step.out[0]] = (source, tuple(places))
    return Step(step.op, (source, tuple(places)), step.out)


def _number(plan: Plan) -> Plan:
    """Name results t0, t1, ... in order, past names that are taken."""
    taken = {value.name for value in plan.inputs} | {value.name for value in plan.constants}
    names: dict[str, str] = {}
    count = 0
    for step in plan.steps:
        for result in step.out:
            while f"t{count}" in taken:
                count += 1
            names[result] = f"t{count}"
            count += 1
    outputs = tuple(replace(output, ref=names.get(output.ref, output.ref)) for output in plan.outputs)
    return replace(plan, steps=tuple(rename(step, names) for step in plan.steps), outputs=outputs)
