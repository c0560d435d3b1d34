"""Rules of sums and of products with public numbers."""

from collections.abc import Callable
from itertools import zip_longest
from math import frexp, isfinite

from gridward.core.errors import OutOfRangeError
from gridward.core.smpc.fixed_point import encode
from gridward.core.smpc.gate import Add, AddConstant, AddParameter, Gate, Scale, Shape
from gridward.core.smpc.lowering import (
    Arguments,
    Lowering,
    Public,
    Secret,
    UnsupportedError,
    Value,
    Weight,
)
from gridward.core.smpc.program import Form, Register
from gridward.core.smpc.ring import to_bytes
from gridward.core.smpc.rules.masks import without_infinity


def shape_of(low: Lowering, value: Secret) -> Shape:
    """Give the shape of a value."""
    return low.registers[value.register].shape


def broadcast(left: Shape, right: Shape) -> Shape:
    """Give the shape that two shapes broadcast to; raises ``UnsupportedError`` where they do not fit."""
    sizes = zip_longest(reversed(left), reversed(right), fillvalue=1)
    out = []
    for a, b in sizes:
        if a != b and 1 not in (a, b):
            raise UnsupportedError(f"shapes {left} and {right} do not fit")
        out.append(b if a == 1 else a)
    return tuple(reversed(out))


def new_share(low: Lowering, shape: Shape, scale: int, exposed: bool, gate: Callable[[int], Gate]) -> Secret:
    """Emit a gate that makes a share."""
    return Secret(low.emit(Register(shape, scale, Form.SHARE), gate), False, exposed)


def scaled(low: Lowering, value: Secret, number: float, exposed: bool) -> Secret:
    """Multiply by a public number."""
    if not isfinite(number):
        raise UnsupportedError(f"factor {number} is not finite")
    mantissa, exponent = frexp(number)
    if abs(mantissa) == 0.5:  # a power of two moves the point; only the sign is left to multiply by
        return shifted(low, value, 1 if number > 0 else -1, exponent - 1, exposed)
    source = low.in_range(value)
    held = low.registers[source]
    factor = round(number * (1 << low.fraction_bits))
    if abs(factor) >= 1 << (low.width - 1):
        raise UnsupportedError(f"factor {number:g} is too large")
    scale = held.scale + low.fraction_bits
    return new_share(low, held.shape, scale, exposed, lambda out: Scale((source,), out, factor))


def shifted(low: Lowering, value: Secret, sign: int, exponent: int, exposed: bool) -> Secret:
    """Multiply by a sign and a power of two: the point moves, nothing is rounded."""
    source = low.share(value)
    if low.registers[source].scale - min(exponent, 0) > low.max_scale:
        source = low.in_range(value)
    held = low.registers[source]
    scale, factor = held.scale - min(exponent, 0), sign << max(exponent, 0)
    if scale > low.max_scale or exponent > low.width:
        raise UnsupportedError(f"factor 2^{exponent} leaves the fixed-point range")
    return new_share(low, held.shape, scale, exposed, lambda out: Scale((source,), out, factor))


def shifted_to(low: Lowering, source: int, scale: int) -> int:
    """Give a register's value at more fraction bits."""
    held = low.registers[source]
    if held.scale == scale:
        return source
    factor = 1 << (scale - held.scale)
    return low.emit(Register(held.shape, scale, Form.SHARE), lambda out: Scale((source,), out, factor))


def plus_parameter(low: Lowering, value: Secret, weight: Weight, sign: int, exposed: bool) -> Secret:
    """Add a parameter, as its sign says."""
    source = low.share(value)
    held = low.registers[source]
    if weight.transposed or broadcast(held.shape, weight.shape) != held.shape:
        raise UnsupportedError(f"parameter {weight.name!r} of shape {weight.shape} cannot be added here")
    number = low.parameter(weight, held.scale, masked=False)
    return new_share(
        low,
        held.shape,
        held.scale,
        exposed,
        lambda out: AddParameter((source,), out, number, weight.shape, sign),
    )


def _plus_public(low: Lowering, value: Secret, public: Public, sign: float, exposed: bool) -> Secret:
    source = low.share(value)
    held = low.registers[source]
    shape = broadcast(held.shape, public.array.shape)
    try:
        words = to_bytes(encode(sign * public.array, held.scale, held.scale + low.width - low.fraction_bits))
    except OutOfRangeError as why:
        raise UnsupportedError(why.detail) from why
    place = public.array.shape
    # a masked value stays one: only its public words move
    form, carry_bits = (held.form, held.carry_bits) if shape == held.shape else (Form.SHARE, 0)
    register = Register(shape, held.scale, form, carry_bits)
    return Secret(low.emit(register, lambda out: AddConstant((source,), out, words, place)), False, exposed)


def plus(low: Lowering, left: Value, right: Value, sign: int, exposed: bool) -> Secret:
    """Add two values of which one at least is secret; ``sign`` -1 subtracts the right one."""
    match left, right:
        case Secret(), Secret():
            return _plus_secret(low, left, right, sign, exposed)
        case Secret(), Weight():
            return plus_parameter(low, left, right, sign, exposed)
        case Secret(), Public():
            return _plus_public(low, left, right, sign, exposed)
        case ((Weight() | Public()), Secret()):
            return plus(low, shifted(low, right, sign, 0, exposed) if sign < 0 else right, left, 1, exposed)
        case _:
            raise UnsupportedError("neither operand depends on the query")


def _plus_secret(low: Lowering, left: Secret, right: Secret, sign: int, exposed: bool) -> Secret:
    a, b = low.share(left), low.share(right)
    shape = broadcast(low.registers[a].shape, low.registers[b].shape)
    scales = low.registers[a].scale, low.registers[b].scale
    scale = max(scales)
    factors = 1 << (scale - scales[0]), sign << (scale - scales[1])
    return new_share(low, shape, scale, exposed, lambda out: Add((a, b), out, factors))


def add(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Compile a sum."""
    return (_sum(args, low, exposed, 1),)


def sub(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Compile a difference."""
    return (_sum(args, low, exposed, -1),)


def _sum(args: Arguments, low: Lowering, exposed: bool, sign: int) -> Secret:
    if args.number("alpha", 1.0) != 1.0:
        raise UnsupportedError("alpha must be 1")
    left, right = args.value("self"), args.value("other")
    if left is None or right is None:
        raise UnsupportedError("an operand is absent")
    if sign > 0:
        left, right = without_infinity(args, low, left, right), without_infinity(args, low, right, left)
    return plus(low, left, right, sign, exposed)


def rsub(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Compile a public number less a value."""
    if args.number("alpha", 1.0) != 1.0:
        raise UnsupportedError("alpha must be 1")
    negative = shifted(low, args.secret("self"), -1, 0, exposed)
    other = args.value("other")
    return (negative if other is None else plus(low, negative, other, 1, exposed),)


def neg(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Compile a change of sign."""
    return (shifted(low, args.secret("self"), -1, 0, exposed),)
