"""Rules of sums and means over axes."""

from math import prod

from gridward.core.smpc.gate import Shape, Sum
from gridward.core.smpc.lowering import Arguments, Lowering, Secret, Value
from gridward.core.smpc.rules.arithmetic import new_share, scaled, shape_of
from gridward.core.smpc.rules.shapes import reshaped


def sum_over(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Compile sums over axes."""
    value = args.secret("self")
    axes = args.places("dim", len(shape_of(low, value)))
    return (_kept(low, value, summed(low, value, axes, exposed), axes, args, exposed),)


def mean(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Compile means over axes."""
    value = args.secret("self")
    axes = args.places("dim", len(shape_of(low, value)))
    return (_kept(low, value, averaged(low, value, axes, exposed), axes, args, exposed),)


def summed(low: Lowering, value: Secret, axes: tuple[int, ...], exposed: bool) -> Secret:
    """Add up along axes, which are gone; the sums must keep within the width."""
    source = low.share(value)
    held = low.registers[source]
    left = without(held.shape, axes)
    return new_share(low, left, held.scale, exposed, lambda out: Sum((source,), out, axes))


def averaged(low: Lowering, value: Secret, axes: tuple[int, ...], exposed: bool) -> Secret:
    """Average along axes, which are gone; free of a truncation where the count is a power of two."""
    held = low.registers[low.share(value)]
    count = prod(held.shape[axis] for axis in axes)
    if held.scale > low.max_scale - count.bit_length():
        value = Secret(low.in_range(value), False, value.exposed)
    return scaled(low, summed(low, value, axes, exposed), 1.0 / count, exposed)


def without(shape: Shape, axes: tuple[int, ...]) -> Shape:
    """Give a shape without some axes."""
    return tuple(size for at, size in enumerate(shape) if at not in axes)


def _kept(
    low: Lowering, value: Secret, made: Secret, axes: tuple[int, ...], args: Arguments, exposed: bool
) -> Secret:
    if not args.flag("keepdim", False):
        return made
    shape = tuple(1 if at in axes else size for at, size in enumerate(shape_of(low, value)))
    return reshaped(low, made, shape, exposed)
