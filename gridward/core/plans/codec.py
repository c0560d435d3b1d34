"""Canonical JSON and digest of a plan: bytes from a stranger become a checked ``Plan`` or a refusal."""

import base64
import binascii
import hashlib
import math
from typing import Any, Final, TypeVar

from gridward.core.errors import PlanRejectedError
from gridward.core.plans import canonical
from gridward.core.plans.ops import Op
from gridward.core.plans.plan import (
    FORMAT,
    VERSION,
    Argument,
    Constant,
    Cost,
    Dim,
    DimRange,
    DType,
    Input,
    Kind,
    Output,
    Plan,
    Ref,
    Role,
    Size,
    Step,
)
from gridward.core.plans.validate import MAX_CONSTANT_BYTES, MAX_STEPS, MAX_VALUES, check, listing

MAX_BYTES: Final = 16 * 2**20
SPECIAL: Final = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}

Member = TypeVar("Member", Kind, Role, DType, Op)


def encode(plan: Plan) -> bytes:
    """Write the canonical JSON (RFC 8785) of a checked plan. Equal plans have equal bytes."""
    return canonical.dumps(to_dict(plan))


def digest(plan: Plan) -> str:
    """Name a plan by its content: SHA-256 of the canonical JSON, 64 hex digits."""
    return hashlib.sha256(encode(plan)).hexdigest()


def decode(blob: bytes) -> Plan:
    """Read and check a plan from an untrusted sender.

    Any JSON form of the document is taken; ``encode`` of the result gives the canonical one.

    Raises:
        PlanRejectedError: names every offending step.
    """
    if len(blob) > MAX_BYTES:
        raise PlanRejectedError(f"the plan has {len(blob)} bytes, more than {MAX_BYTES}")
    try:
        raw = canonical.loads(blob)
    except ValueError as why:
        raise PlanRejectedError(f"the plan is not JSON: {why}") from why
    return from_dict(raw)


def to_dict(plan: Plan) -> dict[str, Any]:
    """Give the document as JSON values, for embedding in a request body."""
    document: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "opset": plan.opset,
        "kind": plan.kind.value,
        "name": plan.name,
        "producer": plan.producer,
        "dims": {name: _write_range(bounds) for name, bounds in plan.dims},
        "inputs": [_write_input(value) for value in plan.inputs],
        "constants": [_write_constant(value) for value in plan.constants],
        "ops": [_write_step(step) for step in plan.steps],
        "outputs": [{"name": o.name, "role": o.role.value, "ref": o.ref} for o in plan.outputs],
    }
    if plan.cost:
        document["cost"] = {
            "flops_per_sample": plan.cost.flops_per_sample,
            "peak_bytes": plan.cost.peak_bytes,
        }
    return document


def from_dict(raw: object) -> Plan:
    """Read and check a plan from JSON values; a null member is the same as an absent one.

    Raises:
        PlanRejectedError: names every offending step.
    """
    try:
        plan = _read(raw)
    except _MalformedError as why:
        raise PlanRejectedError(str(why)) from why
    check(plan)
    return plan


class _MalformedError(Exception):
    """Something in the document has the wrong form; becomes a refusal at the door."""


def _write_range(bounds: DimRange) -> dict[str, Any]:
    return {"min": bounds.low} if bounds.high is None else {"min": bounds.low, "max": bounds.high}


def _write_sizes(sizes: tuple[Size, ...], key: str) -> dict[str, Any]:
    written: dict[str, Any] = {key: [0 if isinstance(size, Dim) else size for size in sizes]}
    dims = {str(at): size.name for at, size in enumerate(sizes) if isinstance(size, Dim)}
    return written | {"dims": dims} if dims else written


def _write_input(value: Input) -> dict[str, Any]:
    head = {"name": value.name, "role": value.role.value, "dtype": value.dtype.value}
    return head | _write_sizes(value.shape, "shape")


def _write_constant(value: Constant) -> dict[str, Any]:
    return {
        "name": value.name,
        "dtype": value.dtype.value,
        "shape": list(value.shape),
        "data": base64.b64encode(value.data).decode(),
    }


def _write_step(step: Step) -> dict[str, Any]:
    return {
        "op": step.op.value,
        "args": [_write_argument(argument) for argument in step.args],
        "out": list(step.out),
    }


def _write_argument(argument: Argument) -> dict[str, Any]:
    match argument:
        case None:
            return {}
        case Ref(name):
            return {"ref": name}
        case bool():
            return {"bool": argument}
        case int():
            return {"int": argument}
        case float():
            return {"num": argument} if math.isfinite(argument) else {"special": str(argument)}
        case DType():
            return {"dtype": argument.value}
        case str():
            return {"str": argument}
        case _:
            return _write_list(argument)


def _write_list(items: tuple[Ref | None, ...] | tuple[Size, ...] | tuple[bool, ...]) -> dict[str, Any]:
    bools = [item for item in items if isinstance(item, bool)]
    sizes = tuple(item for item in items if isinstance(item, int | Dim) and not isinstance(item, bool))
    if items and len(bools) == len(items):
        return {"bools": bools}
    if len(sizes) == len(items):
        return _write_sizes(sizes, "ints")
    return {"refs": [item.name if isinstance(item, Ref) else None for item in items]}


def _read(raw: object) -> Plan:
    head = _members(
        raw,
        "the plan",
        "format version kind name inputs ops outputs",
        "opset producer dims constants cost",
    )
    if head["format"] != FORMAT or head["version"] != VERSION or head["version"] is True:
        raise _MalformedError(f"format {head['format']!r} {head['version']!r} is not {FORMAT!r} {VERSION}")
    steps = _read_steps(head["ops"])
    dims = head.get("dims", {})
    if not isinstance(dims, dict):
        raise _MalformedError("'dims' is not an object")
    return Plan(
        name=_text(head["name"], "the plan's name"),
        kind=_member(Kind, head["kind"], "the plan's kind"),
        producer=_text(head.get("producer", ""), "the producer"),
        dims=tuple((name, _read_range(name, dims[name])) for name in sorted(dims)),
        inputs=tuple(map(_read_input, _items(head["inputs"], "'inputs'", MAX_VALUES))),
        constants=tuple(map(_read_constant, _items(head.get("constants", []), "'constants'", MAX_VALUES))),
        steps=steps,
        outputs=tuple(map(_read_output, _items(head["outputs"], "'outputs'", MAX_VALUES))),
        cost=_read_cost(head["cost"]) if "cost" in head else None,
        opset=_text(head.get("opset", "aten-core-1"), "the opset"),
    )


def _members(raw: object, what: str, needed: str, optional: str = "") -> dict[str, Any]:
    """Give the members that are not null of an object with no members but these."""
    if not isinstance(raw, dict):
        raise _MalformedError(f"{what} is not an object")
    present = {key: value for key, value in raw.items() if value is not None}
    missing = [key for key in needed.split() if key not in present]
    unknown = sorted(set(raw) - {*needed.split(), *optional.split()})
    if missing or unknown:
        wrong = [f"lacks {key!r}" for key in missing] + [f"has an unknown member {key!r}" for key in unknown]
        raise _MalformedError(f"{what} {' and '.join(wrong[:3])}")
    return present


def _items(raw: object, what: str, most: int) -> list[Any]:
    if not isinstance(raw, list) or len(raw) > most:
        raise _MalformedError(f"{what} is not a list of at most {most}")
    return raw


def _text(raw: object, what: str) -> str:
    if not isinstance(raw, str):
        raise _MalformedError(f"{what} is not a string")
    return raw


def _integer(raw: object, what: str) -> int:
    if type(raw) is not int:
        raise _MalformedError(f"{what} is not an integer")
    return raw


def _member(kind: type[Member], raw: object, what: str) -> Member:
    try:
        return kind(_text(raw, what))
    except ValueError as why:
        raise _MalformedError(f"{what} {raw!r:.80} is unknown") from why


def _read_range(name: str, raw: object) -> DimRange:
    what = f"dim {name!r}"
    bounds = _members(raw, what, "", "min max")
    high = _integer(bounds["max"], what) if "max" in bounds else None
    return DimRange(_integer(bounds.get("min", 1), what), high)


def _read_sizes(raw: object, dims: object, what: str) -> tuple[Size, ...]:
    sizes: list[Size] = [_integer(size, f"a size of {what}") for size in _items(raw, what, 64)]
    if dims is None:
        return tuple(sizes)
    if not isinstance(dims, dict):
        raise _MalformedError(f"'dims' of {what} is not an object")
    for place, name in dims.items():
        if place not in map(str, range(len(sizes))) or sizes[int(place)] != 0:
            raise _MalformedError(f"'dims' of {what} names place {place!r}, where no 0 stands")
        sizes[int(place)] = Dim(_text(name, f"a dim of {what}"))
    return tuple(sizes)


def _read_input(raw: object) -> Input:
    value = _members(raw, "an input", "name role dtype shape", "dims")
    name = _text(value["name"], "an input's name")
    what = f"input {name!r:.140}"
    return Input(
        name,
        _member(Role, value["role"], f"{what}: role"),
        _member(DType, value["dtype"], f"{what}: dtype"),
        _read_sizes(value["shape"], value.get("dims"), what),
    )


def _read_constant(raw: object) -> Constant:
    value = _members(raw, "a constant", "name dtype shape data")
    name = _text(value["name"], "a constant's name")
    what = f"constant {name!r:.140}"
    data = _text(value["data"], f"{what}: data")
    if len(data) > 2 * MAX_CONSTANT_BYTES:
        raise _MalformedError(f"{what} holds more than {MAX_CONSTANT_BYTES} bytes")
    try:
        contents = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as why:
        raise _MalformedError(f"{what} is not base64") from why
    shape = tuple(_integer(size, f"a size of {what}") for size in _items(value["shape"], what, 64))
    return Constant(name, _member(DType, value["dtype"], f"{what}: dtype"), shape, contents)


def _read_output(raw: object) -> Output:
    value = _members(raw, "an output", "name role ref")
    name = _text(value["name"], "an output's name")
    return Output(
        name,
        _member(Role, value["role"], f"output {name!r:.140}: role"),
        _text(value["ref"], "an output's ref"),
    )


def _read_cost(raw: object) -> Cost:
    value = _members(raw, "'cost'", "flops_per_sample peak_bytes")
    return Cost(
        _integer(value["flops_per_sample"], "cost.flops_per_sample"),
        _integer(value["peak_bytes"], "cost.peak_bytes"),
    )


def _read_steps(raw: object) -> tuple[Step, ...]:
    steps: list[Step] = []
    problems: list[str] = []
    for at, item in enumerate(_items(raw, "'ops'", MAX_STEPS)):
        try:
            steps.append(_read_step(item))
        except _MalformedError as why:
            problems.append(f"step {at}: {why}")
    if problems:
        raise _MalformedError(listing(problems))
    return tuple(steps)


def _read_step(raw: object) -> Step:
    value = _members(raw, "the step", "op args out")
    op = _member(Op, value["op"], "op")
    args = tuple(_read_argument(item) for item in _items(value["args"], "'args'", 64))
    return Step(op, args, tuple(_text(name, "a result") for name in _items(value["out"], "'out'", 16)))


def _read_argument(raw: object) -> Argument:
    value = _members(raw, "an argument", "", "ref refs int ints dims num special bool bools str dtype")
    dims = value.pop("dims", None)
    if len(value) > 1 or (dims is not None and "ints" not in value):
        raise _MalformedError("an argument is more than one thing")
    for key, item in value.items():
        return _read_value(key, item, dims)
    return None


def _read_value(key: str, item: object, dims: object) -> Argument:
    match key:
        case "ref":
            return Ref(_text(item, "'ref'"))
        case "refs":
            refs = _items(item, "'refs'", MAX_VALUES)
            return tuple(None if name is None else Ref(_text(name, "'refs'")) for name in refs)
        case "int":
            return _integer(item, "'int'")
        case "ints":
            return _read_sizes(item, dims, "'ints'")
        case "bools":
            return tuple(_read_bool(flag) for flag in _items(item, "'bools'", 16))
        case "bool":
            return _read_bool(item)
        case "str":
            return _text(item, "'str'")
        case "dtype":
            return _member(DType, item, "dtype")
        case _:
            return _read_number(key, item)


def _read_bool(item: object) -> bool:
    if not isinstance(item, bool):
        raise _MalformedError("a boolean is neither true nor false")
    return item


def _read_number(key: str, item: object) -> float:
    if key == "special":
        if not isinstance(item, str) or item not in SPECIAL:
            raise _MalformedError("'special' is not inf, -inf or nan")
        return SPECIAL[item]
    if isinstance(item, bool) or not isinstance(item, int | float):
        raise _MalformedError("'num' is not a number")
    try:
        value = float(item)
    except OverflowError as why:
        raise _MalformedError("'num' is too large") from why
    if not math.isfinite(value):
        raise _MalformedError("'num' is not finite; say it by 'special'")
    return value
