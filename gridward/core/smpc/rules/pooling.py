"""Rules of pools that average."""

from math import prod

from gridward.core.smpc.gate import SumPool
from gridward.core.smpc.geometry import window_count
from gridward.core.smpc.lowering import Arguments, Lowering, Secret, UnsupportedError, Value
from gridward.core.smpc.rules.arithmetic import new_share, scaled, shape_of
from gridward.core.smpc.rules.products import check_positive


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
