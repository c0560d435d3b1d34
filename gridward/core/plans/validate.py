"""Every well-formedness rule of a plan, each with the step it blames."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from gridward.core.errors import PlanRejectedError
from gridward.core.plans.canonical import EXACT_INTEGER
from gridward.core.plans.ops import ArgKind, Op, Param
from gridward.core.plans.plan import (
    Argument,
    Constant,
    Dim,
    DType,
    Input,
    Kind,
    Plan,
    Ref,
    Role,
    Step,
)
from gridward.core.plans.table import SPECS

OPSET: Final = "aten-core-1"
MAX_STEPS: Final = 20_000
MAX_VALUES: Final = 20_000
MAX_CONSTANT_BYTES: Final = 1_000_000
MAX_RANK: Final = 8
MAX_LIST: Final = 64
MAX_SIZE: Final = 2**48
MAX_BINS: Final = 10_000
MAX_NAMED_PROBLEMS: Final = 20

ITEM_BYTES: Final[Mapping[DType, int]] = MappingProxyType(
    {
        DType.FLOAT32: 4,
        DType.FLOAT64: 8,
        DType.INT32: 4,
        DType.INT64: 8,
        DType.UINT8: 1,
        DType.BOOL: 1,
    }
)
INPUT_ROLES: Final = frozenset({Role.PARAM, Role.STATE, Role.DATA, Role.TARGET, Role.HYPER, Role.RANDOM})
OUTPUT_ROLES: Final = frozenset({Role.LOSS, Role.METRIC, Role.PARAM, Role.STATE, Role.OUTPUT})
ROLES: Final[Mapping[Kind, frozenset[Role]]] = MappingProxyType(
    {
        Kind.INFERENCE: frozenset({Role.PARAM, Role.STATE, Role.DATA, Role.HYPER, Role.OUTPUT, Role.METRIC}),
        Kind.TRAINING: frozenset(Role),
        Kind.STATISTICS: frozenset({Role.DATA, Role.HYPER, Role.OUTPUT, Role.METRIC}),
        Kind.EVALUATION: frozenset({Role.PARAM, Role.STATE, Role.DATA, Role.TARGET, Role.LOSS, Role.METRIC}),
    }
)

_NAME = re.compile(r"[A-Za-z0-9_.]{1,128}")
_TITLE = re.compile(r"[A-Za-z0-9_.:/+ -]{0,128}")


def check(plan: Plan) -> None:
    """Accept a well-formed plan.

    Says nothing of shapes: that is ``executors.shapes``. Cost: linear in the size of the document.

    Raises:
        PlanRejectedError: names every offending part, steps by number (from 0) and op.
    """
    problems = list(_problems(plan))
    if problems:
        raise PlanRejectedError(listing(problems))


def listing(problems: list[str]) -> str:
    """Join problems into one message; the tail of a long list is counted, not named."""
    named = "; ".join(problems[:MAX_NAMED_PROBLEMS])
    more = len(problems) - MAX_NAMED_PROBLEMS
    return f"{named}; and {more} more" if more > 0 else named


def blame(at: int, step: Step) -> str:
    """Name a step in a message."""
    return f"step {at} ({step.op})"


def references(step: Step) -> Iterator[str]:
    """Give the names of the values that a step reads, in order, repeats included."""
    for argument in step.args:
        if isinstance(argument, Ref):
            yield argument.name
        elif isinstance(argument, tuple):
            yield from (item.name for item in argument if isinstance(item, Ref))


def _problems(plan: Plan) -> Iterator[str]:
    yield from _head(plan)
    yield from _dims(plan)
    yield from _inputs(plan)
    yield from _constants(plan)
    yield from _steps(plan)
    yield from _outputs(plan)


def _head(plan: Plan) -> Iterator[str]:
    if plan.opset != OPSET:
        yield f"opset {plan.opset!r} is not {OPSET!r}"
    if not plan.name or not _TITLE.fullmatch(plan.name):
        yield f"the plan's name {plan.name!r} is not 1 to 128 letters, digits or _.:/+- and spaces"
    if not _TITLE.fullmatch(plan.producer):
        yield f"the producer {plan.producer!r} is not at most 128 letters, digits or _.:/+- and spaces"
    if len(plan.steps) > MAX_STEPS:
        yield f"{len(plan.steps)} steps are more than {MAX_STEPS}"
    for word, values in (("inputs", plan.inputs), ("constants", plan.constants), ("outputs", plan.outputs)):
        if len(values) > MAX_VALUES:
            yield f"{len(values)} {word} are more than {MAX_VALUES}"
    if plan.cost and not (0 <= plan.cost.flops_per_sample <= EXACT_INTEGER):
        yield "cost.flops_per_sample is out of range"
    if plan.cost and not (0 <= plan.cost.peak_bytes <= EXACT_INTEGER):
        yield "cost.peak_bytes is out of range"


def _dims(plan: Plan) -> Iterator[str]:
    used = {size.name for value in plan.inputs for size in value.shape if isinstance(size, Dim)}
    seen: set[str] = set()
    if [name for name, _ in plan.dims] != sorted(name for name, _ in plan.dims):
        yield "dims are not in the order of their names"
    for name, bounds in plan.dims:
        if not _NAME.fullmatch(name):
            yield f"dim {name!r} is not a name"
        if name in seen:
            yield f"dim {name!r} is declared twice"
        seen.add(name)
        if name not in used:
            yield f"dim {name!r} is the size of no input"
        high = MAX_SIZE if bounds.high is None else bounds.high
        if not 0 <= bounds.low <= high <= MAX_SIZE:
            yield f"dim {name!r} has no size between {bounds.low} and {bounds.high}"


def _inputs(plan: Plan) -> Iterator[str]:
    declared = {name for name, _ in plan.dims}
    seen: set[str] = set()
    for value in plan.inputs:
        if not _NAME.fullmatch(value.name):
            yield f"input {value.name!r} is not a name"
        if value.name in seen:
            yield f"input {value.name!r} is declared twice"
        seen.add(value.name)
        if value.role not in INPUT_ROLES or value.role not in ROLES[plan.kind]:
            yield f"input {value.name!r} of a plan for {plan.kind} cannot be {value.role}"
        if value.role is Role.RANDOM and not _by_rows(value, plan):
            yield f"input {value.name!r} is random and not float32 numbers for each row of the data"
        if len(value.shape) > MAX_RANK:
            yield f"input {value.name!r} has more than {MAX_RANK} dimensions"
        for size in value.shape:
            if isinstance(size, Dim) and size.name not in declared:
                yield f"input {value.name!r} uses dim {size.name!r}, which is not declared"
            if isinstance(size, int) and not 0 <= size <= MAX_SIZE:
                yield f"input {value.name!r} has size {size}"


def _by_rows(value: Input, plan: Plan) -> bool:
    rows = {fed.shape[0] for fed in plan.inputs if fed.role is Role.DATA and fed.shape}
    fixed = all(isinstance(size, int) for size in value.shape[1:])
    dynamic = bool(value.shape) and isinstance(value.shape[0], Dim) and rows == {value.shape[0]}
    return dynamic and fixed and value.dtype is DType.FLOAT32


def _constants(plan: Plan) -> Iterator[str]:
    taken = {value.name for value in plan.inputs}
    total = sum(len(constant.data) for constant in plan.constants)
    if total > MAX_CONSTANT_BYTES:
        yield f"constants hold {total} bytes, more than {MAX_CONSTANT_BYTES}; make them inputs"
    for constant in plan.constants:
        if not _NAME.fullmatch(constant.name):
            yield f"constant {constant.name!r} is not a name"
        if constant.name in taken:
            yield f"constant {constant.name!r} takes a name that is in use"
        taken.add(constant.name)
        yield from _contents(constant)


def _contents(constant: Constant) -> Iterator[str]:
    if len(constant.shape) > MAX_RANK:
        yield f"constant {constant.name!r} has more than {MAX_RANK} dimensions"
    expected = math.prod(constant.shape) * ITEM_BYTES[constant.dtype]
    if min(constant.shape, default=0) < 0 or len(constant.data) != expected:
        yield (
            f"constant {constant.name!r} needs {expected} bytes for {list(constant.shape)} "
            f"{constant.dtype}, not {len(constant.data)}"
        )
    elif constant.dtype is DType.BOOL and constant.data.strip(b"\0\1"):
        yield f"constant {constant.name!r} holds bytes that are not booleans"


def _steps(plan: Plan) -> Iterator[str]:
    declared = {name for name, _ in plan.dims}
    known = {value.name for value in plan.inputs} | {value.name for value in plan.constants}
    for at, step in enumerate(plan.steps):
        who = blame(at, step)
        yield from (f"{who}: {what}" for what in _arguments(step, declared))
        for name in dict.fromkeys(references(step)):
            if name not in known:
                yield f"{who}: {name!r} is not an input, a constant or the result of an earlier step"
        if len(step.out) != SPECS[step.op].results:
            yield f"{who}: names {len(step.out)} results, the op has {SPECS[step.op].results}"
        for name in step.out:
            if not _NAME.fullmatch(name):
                yield f"{who}: result {name!r} is not a name"
            if name in known:
                yield f"{who}: result {name!r} takes a name that is in use"
            known.add(name)


def _arguments(step: Step, dims: set[str]) -> Iterator[str]:
    params = SPECS[step.op].params
    if len(step.args) != len(params):
        yield f"has {len(step.args)} arguments, the op takes {len(params)}"
        return
    before = len(params)
    for param, argument in zip(params, step.args, strict=True):
        if argument is None and param.optional:
            continue
        problem = KINDS[param.kind](argument, param, dims)
        if problem:
            before = 0
            yield f"argument {param.name!r} {problem}"
    if before and step.op in EXTRA:
        named = {param.name: argument for param, argument in zip(params, step.args, strict=True)}
        yield from EXTRA[step.op](named)


def _tensor(argument: Argument, _param: Param, _dims: set[str]) -> str | None:
    return None if isinstance(argument, Ref) else "is not the name of a value"


def _tensor_list(argument: Argument, _param: Param, _dims: set[str]) -> str | None:
    good = isinstance(argument, tuple) and argument and all(isinstance(item, Ref) for item in argument)
    return None if good else "is not a list of names of values"


def _indices(argument: Argument, _param: Param, _dims: set[str]) -> str | None:
    if not isinstance(argument, tuple) or len(argument) > MAX_RANK:
        return f"is not a list of at most {MAX_RANK} names of values or nulls"
    refs = [item for item in argument if item is not None]
    good = refs and all(isinstance(item, Ref) for item in refs)
    return None if good else "is not a list of names of values or nulls with at least one name"


def _int(argument: Argument, _param: Param, _dims: set[str]) -> str | None:
    return None if _exact(argument) else "is not an integer of at most 53 bits"


def _ints(argument: Argument, param: Param, _dims: set[str]) -> str | None:
    if not isinstance(argument, tuple) or len(argument) > MAX_LIST or not all(map(_exact, argument)):
        return f"is not a list of at most {MAX_LIST} integers of at most 53 bits"
    return "is empty; leave it out to mean all dimensions" if param.optional and not argument else None


def _sizes(argument: Argument, _param: Param, dims: set[str]) -> str | None:
    if not isinstance(argument, tuple) or len(argument) > MAX_RANK:
        return f"is not a list of at most {MAX_RANK} sizes"
    for size in argument:
        if isinstance(size, Dim):
            if size.name not in dims:
                return f"uses dim {size.name!r}, which is not declared"
        elif isinstance(size, bool) or not isinstance(size, int) or not -1 <= size <= MAX_SIZE:
            return f"holds {size!r}, which is not a size"
    return None


def _num(argument: Argument, _param: Param, _dims: set[str]) -> str | None:
    if isinstance(argument, float):
        minus_zero = argument == 0 and math.copysign(1, argument) < 0
        return "is -0.0, which has no canonical form; use 0.0" if minus_zero else None
    return None if isinstance(argument, bool) or _exact(argument) else "is not a number"


def _bool(argument: Argument, _param: Param, _dims: set[str]) -> str | None:
    return None if isinstance(argument, bool) else "is not true or false"


def _bools(argument: Argument, _param: Param, _dims: set[str]) -> str | None:
    good = isinstance(argument, tuple) and len(argument) == 3 and all(type(item) is bool for item in argument)
    return None if good else "is not three booleans"


def _str(argument: Argument, param: Param, _dims: set[str]) -> str | None:
    return None if argument in param.choices else f"is not one of {', '.join(param.choices)}"


def _dtype(argument: Argument, _param: Param, _dims: set[str]) -> str | None:
    return None if isinstance(argument, DType) else "is not a dtype"


def _exact(argument: object) -> bool:
    return type(argument) is int and abs(argument) <= EXACT_INTEGER


KINDS: Final[Mapping[ArgKind, Callable[[Argument, Param, set[str]], str | None]]] = MappingProxyType(
    {
        ArgKind.TENSOR: _tensor,
        ArgKind.TENSORS: _tensor_list,
        ArgKind.INDICES: _indices,
        ArgKind.INT: _int,
        ArgKind.INTS: _ints,
        ArgKind.SIZES: _sizes,
        ArgKind.NUM: _num,
        ArgKind.BOOL: _bool,
        ArgKind.BOOLS: _bools,
        ArgKind.STR: _str,
        ArgKind.DTYPE: _dtype,
    }
)


def _histogram(args: Mapping[str, Argument]) -> Iterator[str]:
    """Torch takes min == max to mean the extremes of the values: that would print two rows' values."""
    low, high, bins = args["min"], args["max"], args["bins"]
    if not isinstance(bins, int) or not 1 <= bins <= MAX_BINS:
        yield f"'bins' is not between 1 and {MAX_BINS}"
    if not isinstance(low, int | float) or not isinstance(high, int | float) or not low < high:
        yield "'min' must be below 'max': the range is never taken from the values"
    elif not (math.isfinite(low) and math.isfinite(high)):
        yield "'min' and 'max' must be finite"


def _quantile(args: Mapping[str, Argument]) -> Iterator[str]:
    q = args["q"]
    if not isinstance(q, int | float) or not 0 <= q <= 1:
        yield "'q' is not between 0 and 1"


def _slice(args: Mapping[str, Argument]) -> Iterator[str]:
    step = args["step"]
    if not isinstance(step, int) or step < 1:
        yield "'step' must be at least 1"


def _range(args: Mapping[str, Argument]) -> Iterator[str]:
    ends = (args["start"], args["end"], args["step"])
    if not all(isinstance(end, int | float) and math.isfinite(end) for end in ends) or args["step"] == 0:
        yield "'start', 'end' and 'step' must be finite and 'step' not 0"


def _full(args: Mapping[str, Argument]) -> Iterator[str]:
    size = args["size"]
    if isinstance(size, tuple) and -1 in size:
        yield "'size' cannot be inferred"


def _view(args: Mapping[str, Argument]) -> Iterator[str]:
    size = args["size"]
    if isinstance(size, tuple) and size.count(-1) > 1:
        yield "'size' infers more than one size"


def _loss(args: Mapping[str, Argument]) -> Iterator[str]:
    if args["reduction"] not in (0, 1, 2):
        yield "'reduction' is none of 0 (none), 1 (mean) and 2 (sum)"


EXTRA: Final[Mapping[Op, Callable[[Mapping[str, Argument]], Iterator[str]]]] = MappingProxyType(
    {
        Op.HISTC: _histogram,
        Op.QUANTILE_SCALAR: _quantile,
        Op.SLICE_TENSOR: _slice,
        Op.ARANGE_START_STEP: _range,
        Op.FULL: _full,
        Op.VIEW: _view,
        Op.NLL_LOSS_FORWARD: _loss,
        Op.NLL_LOSS_BACKWARD: _loss,
    }
)


def _outputs(plan: Plan) -> Iterator[str]:
    known = {value.name for value in plan.inputs} | {value.name for value in plan.constants}
    known.update(name for step in plan.steps for name in step.out)
    roles = {value.name: value.role for value in plan.inputs}
    seen: set[str] = set()
    if not plan.outputs:
        yield "the plan has no outputs"
    for output in plan.outputs:
        who = f"output {output.name!r}"
        if not _NAME.fullmatch(output.name):
            yield f"{who} is not a name"
        if output.name in seen:
            yield f"{who} is declared twice"
        seen.add(output.name)
        if output.ref not in known:
            yield f"{who}: {output.ref!r} is not a value of the plan"
        if output.role not in OUTPUT_ROLES or output.role not in ROLES[plan.kind]:
            yield f"{who} of a plan for {plan.kind} cannot be {output.role}"
        if output.role in (Role.PARAM, Role.STATE) and roles.get(output.name) is not output.role:
            yield f"{who} replaces no {output.role} input of that name"
    if plan.kind in (Kind.TRAINING, Kind.EVALUATION):
        losses = sum(output.role is Role.LOSS for output in plan.outputs)
        if losses != 1:
            yield f"a plan for {plan.kind} has one loss, not {losses}"
