"""The rule of layer norm: (x - mean) / sqrt(variance + eps), times a weight, plus a bias."""

from math import prod
from typing import Final

import numpy as np

from gridward.core.smpc.gate import Shape
from gridward.core.smpc.lowering import (
    Arguments,
    Lowering,
    Missing,
    Public,
    Secret,
    UnsupportedError,
    Value,
    Weight,
)
from gridward.core.smpc.ring import HEADROOM_BITS, RING_BITS
from gridward.core.smpc.rules.arithmetic import plus, shape_of, shifted
from gridward.core.smpc.rules.curves import cut, opened, product
from gridward.core.smpc.rules.factors import square, times_weight
from gridward.core.smpc.rules.normal import Scaled
from gridward.core.smpc.rules.reductions import averaged, summed
from gridward.core.smpc.rules.scales import root
from gridward.core.smpc.rules.shapes import reshaped

MOST_BITS: Final = RING_BITS - HEADROOM_BITS


def layer_norm(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Compile layer norm: within 1e-5 of the result, and roundings of 2^-f before the weight and after.

    The sum of squares keeps all its bits, so a small variance is as exact as a large one; the variance must
    keep within the declared range. Mean and 1 / deviation are not results.
    """
    given = args.secret("input")
    shape, places = shape_of(low, given), args.sizes("normalized_shape")
    if not places or shape[len(shape) - len(places) :] != places:
        raise UnsupportedError(f"normalised shape {places} is not the end of {shape}")
    axes = tuple(range(len(shape) - len(places), len(shape)))
    value = Secret(low.in_range(given), False, given.exposed)
    mean = averaged(low, value, axes, exposed)
    ones = tuple(1 if axis in axes else size for axis, size in enumerate(shape))
    centred = plus(low, value, reshaped(low, mean, ones, exposed), -1, exposed)
    centred = Secret(low.in_range(centred, low.fraction_bits), False, exposed)
    inverse = _inverse_deviation(args, low, centred, axes, ones, exposed)
    weight, bias = args.value("weight"), args.value("bias")
    if weight is not None:
        centred = times_weight(low, centred, _parameter(weight, "weight", places), exposed)
        centred = Secret(low.in_range(centred, low.fraction_bits), False, exposed)
    result = product(low, centred.register, inverse, exposed)
    if bias is not None:
        result = plus(low, result, _parameter(bias, "bias", places), 1, exposed)
    return result, Missing("means are not computed"), Missing("deviations are not computed")


def _parameter(value: Value, name: str, shape: Shape) -> Weight:
    if not isinstance(value, Weight) or value.shape != shape:
        raise UnsupportedError(f"argument {name!r} must be a parameter of shape {shape}")
    return value


def _inverse_deviation(
    args: Arguments, low: Lowering, centred: Secret, axes: tuple[int, ...], ones: Shape, exposed: bool
) -> int:
    """Give sqrt(count / (sum of squares + count eps)), to the bits that its largest product leaves."""
    count = prod(shape_of(low, centred)[axis] for axis in axes)
    total = reshaped(low, summed(low, square(low, centred, exposed), axes, exposed), ones, exposed)
    scale = low.registers[total.register].scale
    bits = low.width - low.fraction_bits + scale + count.bit_length()
    if bits > MOST_BITS:
        raise UnsupportedError(f"{count} squares of values of {low.width} bits take more than {MOST_BITS}")
    least = round(args.number("eps", 0.0) * count * 2.0**scale)
    if least < 0:
        raise UnsupportedError("eps is negative")
    raised = plus(low, total, Public(np.array(least / 2.0**scale)), 1, exposed)
    source = opened(low, raised.register)
    # the table has count / 4^half, which is 1 to 4
    half = (count.bit_length() - 1) // 2
    made = root(low, Scaled(source, scale, bits), -1, max(1, least), exposed, (4**half, count))
    moved = shifted(low, Secret(made, False, exposed), 1, half, exposed)
    return cut(low, moved.register, low.max_scale - low.fraction_bits, exposed)
