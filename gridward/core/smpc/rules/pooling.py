"""Rules of ReLU and of pools."""

from math import prod
from typing import Final

from gridward.core.smpc.gate import PairMax, SumPool, Windows
from gridward.core.smpc.geometry import every_window_has_a_value, window_count
from gridward.core.smpc.lowering import Arguments, Lowering, Missing, Secret, UnsupportedError, Value
from gridward.core.smpc.program import Form, Register
from gridward.core.smpc.rules.arithmetic import new_share, scaled, shape_of
from gridward.core.smpc.rules.products import check_positive
from gridward.core.smpc.rules.shapes import viewed

MOST_CANDIDATES: Final = 1 << 16


def relu(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Note a ReLU: it is emitted where something needs it, after a max-pool if one comes first."""
    value = args.secret("self")
    return (Secret(value.register, True, exposed),)


def max_pool(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Compile a max-pool: a tournament among the candidates of each window."""
    value = args.secret("self")
    kernel = args.pair("kernel_size", (1, 1))
    stride, padding = args.pair("stride", kernel), args.pair("padding", (0, 0), 0)
    dilation, ceil_mode = args.pair("dilation", (1, 1)), args.flag("ceil_mode", False)
    image = shape_of(low, value)
    if len(image) != 4:
        raise UnsupportedError(f"pools images, not values of shape {image}")
    axes = list(zip(image[2:], kernel, stride, padding, dilation, strict=True))
    out_axes = [window_count(*axis, ceil_mode) for axis in axes]
    check_positive((*out_axes,))
    if prod(kernel) > MOST_CANDIDATES or any(
        2 * pad > size for pad, size in zip(padding, kernel, strict=True)
    ):
        raise UnsupportedError("a window is too large, or its padding more than half of it")
    if not all(every_window_has_a_value(*axis, count) for axis, count in zip(axes, out_axes, strict=True)):
        raise UnsupportedError("a window lies in the padding alone")
    source = low.comparable(value)
    held = low.registers[source]
    shape = (prod(kernel), *image[:2], *out_axes)
    current = low.emit(
        Register(shape, held.scale, held.form, held.carry_bits),
        lambda out: Windows((source,), out, kernel, stride, padding, dilation),
    )
    winner = viewed(low, Secret(_tournament(low, current), value.relu, exposed), shape[1:], exposed)
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


def avg_pool(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Compile an average pool: sums, then a factor that is free for powers of two."""
    kernel = args.pair("kernel_size", (1, 1))
    stride, padding = args.pair("stride", kernel), args.pair("padding", (0, 0), 0)
    if args.flag("ceil_mode", False):
        raise UnsupportedError("ceil_mode is not supported")
    if padding != (0, 0) and not args.flag("count_include_pad", True):
        raise UnsupportedError("padding must count as zeros")
    divisor = args.number("divisor_override", 0.0) or float(prod(kernel))
    return (_averaged(low, args.secret("self"), kernel, stride, padding, divisor, exposed),)


def adaptive_avg_pool(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Compile an adaptive average pool whose windows have equal sizes."""
    value = args.secret("self")
    image, wanted = shape_of(low, value), args.pair("output_size", (1, 1))
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
    check_positive(shape)
    total = new_share(
        low, shape, held.scale, exposed, lambda out: SumPool((source,), out, kernel, stride, padding)
    )
    return scaled(low, total, 1.0 / divisor, exposed)
