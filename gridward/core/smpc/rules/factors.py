"""Rules of products element by element: with public numbers, parameters, and other values."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from gridward.core.errors import OutOfRangeError
from gridward.core.smpc.fixed_point import encode
from gridward.core.smpc.gate import Multiply, MultiplyConstant, MultiplyParameter, Square
from gridward.core.smpc.lowering import (
    Arguments,
    Lowering,
    Public,
    Secret,
    UnsupportedError,
    Value,
    Weight,
)
from gridward.core.smpc.ring import to_bytes
from gridward.core.smpc.rules.arithmetic import broadcast, new_share, scaled, shape_of

MOST_POWER: Final = 4


def mul(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Compile a product element by element."""
    match args.value("self"), args.value("other"):
        case (Secret() as value, Public(array)) | (Public(array), Secret() as value):
            return (times_public(low, value, array, exposed),)
        case (Secret() as value, Weight() as weight) | (Weight() as weight, Secret() as value):
            return (times_weight(low, value, weight, exposed),)
        case Secret() as left, Secret() as right:
            return (times(low, left, right, exposed),)
        case _:
            raise UnsupportedError("neither operand depends on the query")


def div(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Compile a quotient by a public number or constant."""
    divisor = args.value("other")
    if not isinstance(divisor, Public):
        raise UnsupportedError("argument 'other' must be public")
    if not np.all(divisor.array):
        raise UnsupportedError("division by zero")
    return (times_public(low, args.secret("self"), 1.0 / divisor.array, exposed),)


def power(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Compile a power by repeated products."""
    value, exponent = args.secret("self"), args.number("exponent", 1.0)
    if exponent not in range(1, MOST_POWER + 1):
        raise UnsupportedError(f"exponents are whole numbers from 1 to {MOST_POWER}, not {exponent:g}")
    if exponent == 1:
        return (value,)
    squared = square(low, value, exposed)
    if exponent == 2:
        return (squared,)
    return (times(low, squared, value if exponent == 3 else squared, exposed),)


def times_public(low: Lowering, value: Secret, factors: NDArray[np.float64], exposed: bool) -> Secret:
    """Multiply by public numbers, broadcast."""
    if factors.size == 1 and broadcast(shape_of(low, value), factors.shape) == shape_of(low, value):
        return scaled(low, value, float(factors.flat[0]), exposed)
    source = low.in_range(value)
    held = low.registers[source]
    shape, scale = broadcast(held.shape, factors.shape), held.scale + low.fraction_bits
    try:
        words = to_bytes(encode(factors, low.fraction_bits, low.width))
    except OutOfRangeError as why:
        raise UnsupportedError(why.detail) from why
    place = factors.shape
    return new_share(low, shape, scale, exposed, lambda out: MultiplyConstant((source,), out, words, place))


def times_weight(low: Lowering, value: Secret, weight: Weight, exposed: bool) -> Secret:
    """Multiply by a parameter, broadcast: nothing is opened but the wire, once for all of its products."""
    if weight.transposed:
        raise UnsupportedError(f"parameter {weight.name!r} is transposed before a product by elements")
    shape = broadcast(shape_of(low, value), weight.shape)
    source = low.wire(value)
    number = low.parameter(weight, low.fraction_bits, masked=True)
    scale = low.registers[source].scale + low.fraction_bits
    return new_share(
        low, shape, scale, exposed, lambda out: MultiplyParameter((source,), out, number, weight.shape)
    )


def times(low: Lowering, left: Secret, right: Secret, exposed: bool) -> Secret:
    """Multiply two values, broadcast."""
    if left.register == right.register and left.relu == right.relu:
        return square(low, left, exposed)
    shape = broadcast(shape_of(low, left), shape_of(low, right))
    a, b = low.wires(left, right)
    scale = low.registers[a].scale + low.registers[b].scale
    return new_share(low, shape, scale, exposed, lambda out: Multiply((a, b), out))


def square(low: Lowering, value: Secret, exposed: bool) -> Secret:
    """Multiply a value by itself."""
    source, _ = low.wires(value, value)
    held = low.registers[source]
    return new_share(low, held.shape, 2 * held.scale, exposed, lambda out: Square((source,), out))
