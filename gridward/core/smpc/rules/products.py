"""Rules of products of matrices, with parameters and with other values, and of convolutions."""

from dataclasses import replace

from gridward.core.smpc.gate import Convolution, Matmul, MultiplyMatrices, Shape
from gridward.core.smpc.geometry import window_count
from gridward.core.smpc.lowering import Arguments, Lowering, Secret, UnsupportedError, Value, Weight
from gridward.core.smpc.rules.arithmetic import new_share, plus, plus_parameter, shape_of
from gridward.core.smpc.rules.norms import folded


def _product(low: Lowering, value: Secret, weight: Weight, exposed: bool) -> Secret:
    rows = shape_of(low, value)
    stored = low.weight_shapes[weight.name]
    if len(rows) != 2 or len(weight.shape) != 2 or rows[1] != weight.shape[0]:
        raise UnsupportedError(f"cannot multiply {rows} by {weight.shape}")
    if weight.shape != (stored[::-1] if weight.transposed else stored):
        raise UnsupportedError(f"parameter {weight.name!r} is viewed as {weight.shape} before a product")
    source = low.wire(value)
    number = low.parameter(weight, low.fraction_bits, masked=True)
    scale = low.registers[source].scale + low.fraction_bits
    out_shape = (rows[0], weight.shape[1])
    return new_share(
        low, out_shape, scale, exposed, lambda out: Matmul((source,), out, number, weight.transposed)
    )


def _matrix_product(low: Lowering, value: Secret, other: Value | None, exposed: bool) -> Secret:
    match other:
        case Weight():
            return _product(low, value, other, exposed)
        case Secret():
            return times_matrix(low, value, other, exposed)
        case _:
            raise UnsupportedError("argument 'mat2' must be a parameter or depend on the query")


def times_matrix(low: Lowering, left: Secret, right: Secret, exposed: bool) -> Secret:
    """Multiply two values as matrices, or as many of each on a first axis."""
    first, second = shape_of(low, left), shape_of(low, right)
    fits = len(first) == len(second) in (2, 3) and (*first[:-2], first[-1]) == second[:-1]
    if not fits:
        raise UnsupportedError(f"cannot multiply {first} by {second}")
    shape = (*first[:-1], second[-1])
    check_positive(shape)
    a, b = low.wires(left, right)
    scale = low.registers[a].scale + low.registers[b].scale
    return new_share(low, shape, scale, exposed, lambda out: MultiplyMatrices((a, b), out))


def mm(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Compile a matrix product."""
    return (_layer(args, low, args.secret("self"), args.value("mat2"), None, exposed),)


def bmm(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Compile products of two batches of matrices."""
    return (times_matrix(low, args.secret("self"), args.secret("mat2"), exposed),)


def addmm(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Compile a matrix product and a bias."""
    if args.number("beta", 1.0) != 1.0 or args.number("alpha", 1.0) != 1.0:
        raise UnsupportedError("alpha and beta must be 1")
    bias = args.value("self")
    return (_layer(args, low, args.secret("mat1"), args.value("mat2"), bias, exposed),)


def _layer(
    args: Arguments, low: Lowering, value: Secret, other: Value | None, bias: Value | None, exposed: bool
) -> Secret:
    if isinstance(other, Weight) and len(other.shape) == 2:
        axis, channels = (0 if other.transposed else 1), other.shape[1]
        other, bias = folded(args, low, other, bias, axis, channels)
    product = _matrix_product(low, value, other, exposed)
    return product if bias is None else plus(low, product, bias, 1, exposed)


def convolution(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Compile a two-dimensional convolution and its bias."""
    value, weight = args.secret("input"), args.weight("weight")
    image, kernel = shape_of(low, value), weight.shape
    groups = int(args.number("groups", 1))
    if (
        groups < 1
        or args.flag("transposed", False)
        or len(image) != 4
        or len(kernel) != 4
        or weight.transposed
    ):
        raise UnsupportedError("only plain two-dimensional convolutions are supported")
    if image[1] != kernel[1] * groups or kernel[0] % groups or kernel != low.weight_shapes[weight.name]:
        raise UnsupportedError(f"cannot convolve {image} by {kernel} in {groups} groups")
    stride, padding = args.pair("stride", (1, 1)), args.pair("padding", (0, 0), 0)
    dilation = args.pair("dilation", (1, 1))
    axes = zip(image[2:], kernel[2:], stride, padding, dilation, strict=True)
    shape = (image[0], kernel[0], *(window_count(*axis) for axis in axes))
    check_positive(shape)
    weight, bias = folded(args, low, weight, args.value("bias"), 0, kernel[0])
    source = low.wire(value)
    number = low.parameter(weight, low.fraction_bits, masked=True)
    scale = low.registers[source].scale + low.fraction_bits
    product = new_share(
        low,
        shape,
        scale,
        exposed,
        lambda out: Convolution((source,), out, number, stride, padding, dilation, groups),
    )
    return (_with_channel_bias(low, product, bias, exposed),)


def _with_channel_bias(low: Lowering, product: Secret, bias: Value | None, exposed: bool) -> Secret:
    if bias is None:
        return product
    if not isinstance(bias, Weight) or len(bias.shape) != 1:
        raise UnsupportedError("argument 'bias' must be a parameter of the model")
    column = replace(bias, shape=(bias.shape[0], 1, 1))
    return plus_parameter(low, product, column, 1, exposed)


def check_positive(shape: Shape) -> None:
    """Refuse a shape without elements."""
    if min(shape, default=1) < 1:
        raise UnsupportedError(f"the result would have shape {shape}")
