"""How each plan op is compiled: the ops that encrypted runs know. Adding one is a rule, perhaps a gate."""

from collections.abc import Callable, Mapping
from itertools import zip_longest
from math import frexp, isfinite, prod
from types import MappingProxyType
from typing import Final, TypeAlias

from gridward.core.errors import OutOfRangeError
from gridward.core.plans.ops import Op
from gridward.core.smpc.fixed_point import encode
from gridward.core.smpc.geometry import every_window_has_a_value, window_count
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
from gridward.core.smpc.program import (
    Add,
    AddConstant,
    AddParameter,
    Convolution,
    Form,
    Gate,
    Matmul,
    PairMax,
    Permute,
    Register,
    Scale,
    Shape,
    SumPool,
    View,
    Windows,
)
from gridward.core.smpc.ring import to_bytes

Rule: TypeAlias = Callable[[Arguments, Lowering, bool], tuple[Value, ...]]
"""From a step's arguments, the state so far and whether the results are exposed, to its results."""

PRODUCTS: Final = frozenset({Op.MM, Op.ADDMM, Op.CONVOLUTION})
"""Behind a product no earlier rounding shows."""


def _shape(low: Lowering, value: Secret) -> Shape:
    return low.registers[value.register].shape


def _broadcast(left: Shape, right: Shape) -> Shape:
    sizes = zip_longest(reversed(left), reversed(right), fillvalue=1)
    out = []
    for a, b in sizes:
        if a != b and 1 not in (a, b):
            raise UnsupportedError(f"shapes {left} and {right} do not fit")
        out.append(b if a == 1 else a)
    return tuple(reversed(out))


def _share(low: Lowering, shape: Shape, scale: int, exposed: bool, gate: Callable[[int], Gate]) -> Secret:
    return Secret(low.emit(Register(shape, scale, Form.SHARE), gate), False, exposed)


def _scaled(low: Lowering, value: Secret, number: float, exposed: bool) -> Secret:
    if not isfinite(number):
        raise UnsupportedError(f"factor {number} is not finite")
    mantissa, exponent = frexp(number)
    if abs(mantissa) == 0.5:  # a power of two moves the point; only the sign is left to multiply by
        return _shifted(low, value, 1 if number > 0 else -1, exponent - 1, exposed)
    source = low.in_range(value)
    held = low.registers[source]
    factor = round(number * (1 << low.fraction_bits))
    if abs(factor) >= 1 << (low.width - 1):
        raise UnsupportedError(f"factor {number:g} is too large")
    scale = held.scale + low.fraction_bits
    return _share(low, held.shape, scale, exposed, lambda out: Scale((source,), out, factor))


def _shifted(low: Lowering, value: Secret, sign: int, exponent: int, exposed: bool) -> Secret:
    source = low.share(value)
    if low.registers[source].scale - min(exponent, 0) > low.max_scale:
        source = low.in_range(value)
    held = low.registers[source]
    scale, factor = held.scale - min(exponent, 0), sign << max(exponent, 0)
    if scale > low.max_scale or exponent > low.width:
        raise UnsupportedError(f"factor 2^{exponent} leaves the fixed-point range")
    return _share(low, held.shape, scale, exposed, lambda out: Scale((source,), out, factor))


def _plus_parameter(low: Lowering, value: Secret, weight: Weight, sign: int, exposed: bool) -> Secret:
    source = low.share(value)
    held = low.registers[source]
    if weight.transposed or _broadcast(held.shape, weight.shape) != held.shape:
        raise UnsupportedError(f"parameter {weight.name!r} of shape {weight.shape} cannot be added here")
    number = low.parameter(weight.name, held.scale, masked=False)
    return _share(
        low,
        held.shape,
        held.scale,
        exposed,
        lambda out: AddParameter((source,), out, number, weight.shape, sign),
    )


def _plus_public(low: Lowering, value: Secret, public: Public, sign: float, exposed: bool) -> Secret:
    source = low.share(value)
    held = low.registers[source]
    shape = _broadcast(held.shape, public.array.shape)
    try:
        words = to_bytes(encode(sign * public.array, held.scale, held.scale + low.width - low.fraction_bits))
    except OutOfRangeError as why:
        raise UnsupportedError(why.detail) from why
    place = public.array.shape
    return _share(low, shape, held.scale, exposed, lambda out: AddConstant((source,), out, words, place))


def _plus(low: Lowering, left: Value, right: Value, sign: int, exposed: bool) -> Secret:
    match left, right:
        case Secret(), Secret():
            return _plus_secret(low, left, right, sign, exposed)
        case Secret(), Weight():
            return _plus_parameter(low, left, right, sign, exposed)
        case Secret(), Public():
            return _plus_public(low, left, right, sign, exposed)
        case ((Weight() | Public()), Secret()):
            return _plus(low, _shifted(low, right, sign, 0, exposed) if sign < 0 else right, left, 1, exposed)
        case _:
            raise UnsupportedError("neither operand depends on the query")


def _plus_secret(low: Lowering, left: Secret, right: Secret, sign: int, exposed: bool) -> Secret:
    a, b = low.share(left), low.share(right)
    shape = _broadcast(low.registers[a].shape, low.registers[b].shape)
    scales = low.registers[a].scale, low.registers[b].scale
    scale = max(scales)
    factors = 1 << (scale - scales[0]), sign << (scale - scales[1])
    return _share(low, shape, scale, exposed, lambda out: Add((a, b), out, factors))


def _add(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    return (_sum(args, low, exposed, 1),)


def _sub(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    return (_sum(args, low, exposed, -1),)


def _sum(args: Arguments, low: Lowering, exposed: bool, sign: int) -> Secret:
    if args.number("alpha", 1.0) != 1.0:
        raise UnsupportedError("alpha must be 1")
    left, right = args.value("self"), args.value("other")
    if left is None or right is None:
        raise UnsupportedError("an operand is absent")
    return _plus(low, left, right, sign, exposed)


def _mul(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    match args.value("self"), args.value("other"):
        case (Secret() as value, Public(array)) | (Public(array), Secret() as value) if array.size == 1:
            return (_scaled(low, value, float(array.flat[0]), exposed),)
        case _:
            raise UnsupportedError("only products with a public number are supported")


def _div(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    divisor = args.number("other", 1.0)
    if divisor == 0.0:
        raise UnsupportedError("division by zero")
    return (_scaled(low, args.secret("self"), 1.0 / divisor, exposed),)


def _neg(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    return (_shifted(low, args.secret("self"), -1, 0, exposed),)


def _product(low: Lowering, value: Secret, weight: Weight, exposed: bool) -> Secret:
    rows = _shape(low, value)
    stored = low.weight_shapes[weight.name]
    if len(rows) != 2 or len(weight.shape) != 2 or rows[1] != weight.shape[0]:
        raise UnsupportedError(f"cannot multiply {rows} by {weight.shape}")
    if weight.shape != (stored[::-1] if weight.transposed else stored):
        raise UnsupportedError(f"parameter {weight.name!r} is viewed as {weight.shape} before a product")
    source = low.wire(value)
    number = low.parameter(weight.name, low.fraction_bits, masked=True)
    scale = low.registers[source].scale + low.fraction_bits
    out_shape = (rows[0], weight.shape[1])
    return _share(
        low, out_shape, scale, exposed, lambda out: Matmul((source,), out, number, weight.transposed)
    )


def _mm(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    return (_product(low, args.secret("self"), args.weight("mat2"), exposed),)


def _addmm(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    if args.number("beta", 1.0) != 1.0 or args.number("alpha", 1.0) != 1.0:
        raise UnsupportedError("alpha and beta must be 1")
    bias = args.value("self")
    product = _product(low, args.secret("mat1"), args.weight("mat2"), exposed)
    return (product if bias is None else _plus(low, product, bias, 1, exposed),)


def _convolution(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    value, weight = args.secret("input"), args.weight("weight")
    image, kernel = _shape(low, value), weight.shape
    groups = int(args.number("groups", 1))
    if args.flag("transposed", False) or len(image) != 4 or len(kernel) != 4 or weight.transposed:
        raise UnsupportedError("only plain two-dimensional convolutions are supported")
    if image[1] != kernel[1] * groups or kernel[0] % groups or kernel != low.weight_shapes[weight.name]:
        raise UnsupportedError(f"cannot convolve {image} by {kernel} in {groups} groups")
    stride, padding = args.pair("stride", (1, 1)), args.pair("padding", (0, 0))
    dilation = args.pair("dilation", (1, 1))
    axes = zip(image[2:], kernel[2:], stride, padding, dilation, strict=True)
    shape = (image[0], kernel[0], *(window_count(*axis) for axis in axes))
    _positive(shape)
    source = low.wire(value)
    number = low.parameter(weight.name, low.fraction_bits, masked=True)
    scale = low.registers[source].scale + low.fraction_bits
    product = _share(
        low,
        shape,
        scale,
        exposed,
        lambda out: Convolution((source,), out, number, stride, padding, dilation, groups),
    )
    return (_with_channel_bias(args, low, product, exposed),)


def _with_channel_bias(args: Arguments, low: Lowering, product: Secret, exposed: bool) -> Secret:
    bias = args.value("bias")
    if bias is None:
        return product
    if not isinstance(bias, Weight) or len(bias.shape) != 1:
        raise UnsupportedError("argument 'bias' must be a parameter of the model")
    column = Weight(bias.name, (bias.shape[0], 1, 1))
    return _plus_parameter(low, product, column, 1, exposed)


def _positive(shape: Shape) -> None:
    if min(shape, default=1) < 1:
        raise UnsupportedError(f"the result would have shape {shape}")


def _relu(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    value = args.secret("self")
    return (Secret(value.register, True, exposed),)


def _view(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    return (_viewed(low, args.value("self"), args.sizes("size"), exposed),)


def _viewed(low: Lowering, value: Value | None, sizes: tuple[int, ...], exposed: bool) -> Value:
    if not isinstance(value, (Secret, Weight)):
        raise UnsupportedError("only values and parameters are viewed")
    if isinstance(value, Weight) and value.transposed:
        raise UnsupportedError("a transposed parameter is viewed")
    old = _shape(low, value) if isinstance(value, Secret) else value.shape
    known = prod(size for size in sizes if size != -1)
    shape = tuple(prod(old) // max(known, 1) if size == -1 else size for size in sizes)
    if prod(shape) != prod(old):
        raise UnsupportedError(f"{old} has another number of elements than {sizes}")
    if isinstance(value, Weight):
        return Weight(value.name, shape)
    held = low.registers[value.register]
    register = Register(shape, held.scale, held.form, held.carry_bits)
    return Secret(low.emit(register, lambda out: View((value.register,), out)), value.relu, exposed)


def _unsqueeze(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    value = args.value("self")
    if not isinstance(value, (Secret, Weight)):
        raise UnsupportedError("only values and parameters are viewed")
    shape = list(_shape(low, value) if isinstance(value, Secret) else value.shape)
    at = int(args.number("dim", 0))
    shape.insert(at if at >= 0 else at + len(shape) + 1, 1)
    return (_viewed(low, value, tuple(shape), exposed),)


def _squeeze(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    value = args.secret("self")
    old = _shape(low, value)
    drop = {at % len(old) for at in args.sizes("dim")}
    shape = tuple(size for at, size in enumerate(old) if at not in drop or size != 1)
    return (_viewed(low, value, shape, exposed),)


def _permute(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    value, axes = args.value("self"), args.sizes("dims")
    if isinstance(value, Weight):
        if len(value.shape) != 2 or axes not in ((1, 0), (0, 1), (-1, -2)):
            raise UnsupportedError("only matrices of parameters are transposed")
        turned = axes != (0, 1)
        shape = value.shape[::-1] if turned else value.shape
        return (Weight(value.name, shape, value.transposed != turned),)
    secret = args.secret("self")
    held = low.registers[secret.register]
    order = tuple(axis % len(held.shape) for axis in axes)
    register = Register(tuple(held.shape[axis] for axis in order), held.scale, held.form, held.carry_bits)
    out = low.emit(register, lambda out: Permute((secret.register,), out, order))
    return (Secret(out, secret.relu, exposed),)


def _max_pool(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    value = args.secret("self")
    kernel = args.pair("kernel_size", (1, 1))
    stride, padding = args.pair("stride", kernel), args.pair("padding", (0, 0))
    dilation, ceil_mode = args.pair("dilation", (1, 1)), args.flag("ceil_mode", False)
    image = _shape(low, value)
    if len(image) != 4:
        raise UnsupportedError(f"pools images, not values of shape {image}")
    axes = list(zip(image[2:], kernel, stride, padding, dilation, strict=True))
    out_axes = [window_count(*axis, ceil_mode) for axis in axes]
    _positive((*out_axes,))
    if not all(every_window_has_a_value(*axis, count) for axis, count in zip(axes, out_axes, strict=True)):
        raise UnsupportedError("a window lies in the padding alone")
    source = low.comparable(value)
    held = low.registers[source]
    shape = (prod(kernel), *image[:2], *out_axes)
    current = low.emit(
        Register(shape, held.scale, held.form, held.carry_bits),
        lambda out: Windows((source,), out, kernel, stride, padding, dilation),
    )
    winner = _viewed(low, Secret(_tournament(low, current), value.relu, exposed), shape[1:], exposed)
    return winner, Missing("places of maxima are not computed")


def _tournament(low: Lowering, current: int) -> int:
    while low.registers[current].shape[0] > 1:
        current = _play(low, current)
    return current


def _play(low: Lowering, current: int) -> int:
    source = low.comparable(Secret(current, False, False))
    held = low.registers[source]
    halved = Register(((held.shape[0] + 1) // 2, *held.shape[1:]), held.scale, Form.SHARE)
    return low.emit(halved, lambda out: PairMax((source,), out, low.bits(held) + 1, low.levels))


def _avg_pool(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    kernel = args.pair("kernel_size", (1, 1))
    stride, padding = args.pair("stride", kernel), args.pair("padding", (0, 0))
    if args.flag("ceil_mode", False):
        raise UnsupportedError("ceil_mode is not supported")
    if padding != (0, 0) and not args.flag("count_include_pad", True):
        raise UnsupportedError("padding must count as zeros")
    divisor = args.number("divisor_override", 0.0) or float(prod(kernel))
    return (_averaged(low, args.secret("self"), kernel, stride, padding, divisor, exposed),)


def _adaptive_avg_pool(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    value = args.secret("self")
    image, wanted = _shape(low, value), args.pair("output_size", (1, 1))
    if len(image) != 4 or image[2] % wanted[0] or image[3] % wanted[1]:
        raise UnsupportedError(f"{wanted} does not divide {image}")
    kernel = image[2] // wanted[0], image[3] // wanted[1]
    return (_averaged(low, value, kernel, kernel, (0, 0), float(prod(kernel)), exposed),)


def _averaged(
    low: Lowering,
    value: Secret,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    divisor: float,
    exposed: bool,
) -> Secret:
    room = low.max_scale - prod(kernel).bit_length()
    source = low.share(value)
    if low.registers[source].scale > room:
        source = low.in_range(value)
    held = low.registers[source]
    if len(held.shape) != 4:
        raise UnsupportedError(f"pools images, not values of shape {held.shape}")
    axes = zip(held.shape[2:], kernel, stride, padding, (1, 1), strict=True)
    shape = (*held.shape[:2], *(window_count(*axis) for axis in axes))
    _positive(shape)
    total = _share(
        low, shape, held.scale, exposed, lambda out: SumPool((source,), out, kernel, stride, padding)
    )
    return _scaled(low, total, 1.0 / divisor, exposed)


RULES: Final[Mapping[Op, Rule]] = MappingProxyType(
    {
        Op.ADD_TENSOR: _add,
        Op.ADD_SCALAR: _add,
        Op.SUB_TENSOR: _sub,
        Op.SUB_SCALAR: _sub,
        Op.MUL_TENSOR: _mul,
        Op.MUL_SCALAR: _mul,
        Op.DIV_SCALAR: _div,
        Op.NEG: _neg,
        Op.MM: _mm,
        Op.ADDMM: _addmm,
        Op.CONVOLUTION: _convolution,
        Op.RELU: _relu,
        Op.VIEW: _view,
        Op.UNSQUEEZE: _unsqueeze,
        Op.SQUEEZE_DIMS: _squeeze,
        Op.PERMUTE: _permute,
        Op.MAX_POOL2D_WITH_INDICES: _max_pool,
        Op.AVG_POOL2D: _avg_pool,
        Op.ADAPTIVE_AVG_POOL2D: _adaptive_avg_pool,
    }
)
