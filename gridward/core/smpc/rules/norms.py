"""Rules of batch norm in evaluation: inside the layer before it, or as a gain and a shift."""

from dataclasses import replace

from gridward.core.plans.ops import Op
from gridward.core.smpc.lowering import Arguments, Lowering, Missing, UnsupportedError, Value, Weight
from gridward.core.smpc.recipe import Norm, Part, Recipe
from gridward.core.smpc.rules.arithmetic import plus_parameter, shape_of
from gridward.core.smpc.rules.factors import times_weight


def batch_norm(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Compile a batch norm; behind a layer that nothing else reads it is already done."""
    value = args.secret("input")
    saved = Missing("statistics of a batch are not computed")
    if args.name("input") in low.normed:
        return replace(value, exposed=exposed), saved, saved
    shape = shape_of(low, value)
    norm = norm_of(args, shape[1] if len(shape) > 1 else 0)
    column = (shape[1], *(1 for _ in shape[2:]))
    gain = Weight(norm.variance, column, recipe=Recipe(Part.GAIN, norm))
    shift = Weight(norm.mean, column, recipe=Recipe(Part.SHIFTED, norm))
    return plus_parameter(low, times_weight(low, value, gain, exposed), shift, 1, exposed), saved, saved


def norm_of(args: Arguments, channels: int) -> Norm:
    """Read the parameters of a batch norm over so many channels."""
    named = {
        name: args.weight(name) if args.value(name) is not None else None
        for name in ("weight", "bias", "running_mean", "running_var")
    }
    held = [weight for weight in named.values() if weight is not None]
    if any(weight.shape != (channels,) or weight.transposed or weight.recipe for weight in held):
        raise UnsupportedError(f"its parameters are not vectors of {channels} channels")
    names = {name: None if weight is None else weight.name for name, weight in named.items()}
    mean, variance = names["running_mean"], names["running_var"]
    if mean is None or variance is None:
        raise UnsupportedError("its running mean and variance are absent")
    return Norm(names["weight"], names["bias"], mean, variance, args.number("eps", 1e-5))


def folded(
    args: Arguments, low: Lowering, weight: Weight, bias: Value | None, axis: int, channels: int
) -> tuple[Weight, Value | None]:
    """Give a layer's weight and bias with the norm behind it in them, where it alone reads the layer.

    ``axis`` of the stored weight counts the ``channels``.
    """
    reader = args.only_reader()
    known = bias is None or (isinstance(bias, Weight) and bias.shape == (channels,) and not bias.recipe)
    if reader is None or reader.op is not Op.BATCH_NORM_NO_TRAINING or not known:
        return weight, bias
    following = Arguments(reader, low)
    if following.name("input") != args.step.out[0] or not following.known_but(args.step.out[0]):
        return weight, bias
    norm = norm_of(following, channels)
    base = bias.name if isinstance(bias, Weight) else None
    low.normed.add(args.step.out[0])
    scaled = replace(weight, recipe=Recipe(Part.SCALED, norm, weight.name, axis))
    return scaled, Weight(base or norm.mean, (channels,), recipe=Recipe(Part.SHIFTED, norm, base))
