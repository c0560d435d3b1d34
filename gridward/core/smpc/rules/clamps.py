"""Rules that keep a value or replace it by a bound: a ReLU of a difference, one comparison a bound."""

import numpy as np

from gridward.core.smpc.lowering import Arguments, Lowering, Public, Secret, UnsupportedError, Value
from gridward.core.smpc.rules.arithmetic import plus, scaled, shifted


def relu(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Note a ReLU: it is emitted where something needs it, after a max-pool if one comes first."""
    return (positive(low, args.secret("self"), exposed),)


def positive(low: Lowering, value: Secret, exposed: bool) -> Secret:
    """Give the larger of a value and 0."""
    return Secret(value.register, value.register not in low.floored, exposed)


def leaky_relu(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Compile slope * x + (1 - slope) * relu(x)."""
    value, slope = args.secret("self"), args.number("negative_slope", 0.01)
    above = scaled(low, positive(low, value, value.exposed), 1.0 - slope, exposed)
    return (plus(low, scaled(low, value, slope, exposed), above, 1, exposed),)


def absolute(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Compile 2 * relu(x) - x."""
    value = args.secret("self")
    double = shifted(low, positive(low, value, value.exposed), 1, 1, exposed)
    return (plus(low, double, value, -1, exposed),)


def hardtanh(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Compile a value between two bounds, ReLU6 among them."""
    bounds = args.number("min_val", -1.0), args.number("max_val", 1.0)
    return (clamped(low, args.secret("self"), *bounds, exposed),)


def clamp(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Compile a value between one bound or two."""
    value = args.secret("self")
    least, most = (None if args.value(name) is None else args.number(name, 0.0) for name in ("min", "max"))
    return (clamped(low, value, least, most, exposed),)


def maximum(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Compile y + relu(x - y)."""
    return (_chosen(args, low, exposed, 1),)


def minimum(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Compile y - relu(y - x)."""
    return (_chosen(args, low, exposed, -1),)


def _chosen(args: Arguments, low: Lowering, exposed: bool, sign: int) -> Secret:
    left, right = args.value("self"), args.value("other")
    if left is None or right is None:
        raise UnsupportedError("an operand is absent")
    difference = plus(low, left, right, -1, exposed)
    signed = difference if sign > 0 else shifted(low, difference, -1, 0, exposed)
    beyond = Secret(low.relu(signed, spare=1), False, exposed)
    return plus(low, right, beyond, sign, exposed)


def clamped(low: Lowering, value: Secret, least: float | None, most: float | None, exposed: bool) -> Secret:
    """Give least + relu(x - least) - relu(x - most): both comparisons share one opening and their rounds."""
    if least is not None and most is not None and least > most:
        raise UnsupportedError(f"the bounds {least:g} and {most:g} leave nothing between")
    source = Secret(low.share(value), False, value.exposed)
    kept = source
    if least is not None:
        kept = plus(low, _excess(low, source, least, exposed), Public(np.asarray(least)), 1, exposed)
    return kept if most is None else plus(low, kept, _excess(low, source, most, exposed), -1, exposed)


def _excess(low: Lowering, value: Secret, bound: float, exposed: bool) -> Secret:
    """Give relu(x - bound)."""
    if bound == 0:
        return Secret(low.relu(value), False, exposed)
    masked = Secret(low.comparable(value), False, exposed)
    moved = plus(low, masked, Public(np.asarray(bound)), -1, exposed)
    return Secret(low.relu(moved, spare=1), False, exposed)
