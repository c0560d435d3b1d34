"""Rules of largest values: max-pools, maxima over axes, and the form in which they are found."""

from math import prod
from typing import Final

from gridward.core.plans.ops import Op
from gridward.core.smpc.gate import PairMax, PairsMax, Permute, Windows
from gridward.core.smpc.geometry import every_window_has_a_value, window_count
from gridward.core.smpc.lowering import Arguments, Lowering, MaxForm, Missing, Secret, UnsupportedError, Value
from gridward.core.smpc.program import Form, Register
from gridward.core.smpc.rules.arithmetic import shape_of, shifted
from gridward.core.smpc.rules.products import check_positive
from gridward.core.smpc.rules.shapes import reshaped

MOST_CANDIDATES: Final = 1 << 16
MOST_PAIRED: Final = 17
"""So many candidates, 0 among them, may be compared in pairs: 136 comparisons."""

FEW_CANDIDATES: Final = 5
FEW_PLACES: Final = 4096
"""Up to so many candidates and maxima, fewer rounds are worth more comparisons: ``MaxForm.FITTING``."""


def max_pool(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Compile a max-pool: the largest among the candidates of each window, with the ReLU around it."""
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
    reader = args.only_reader()
    floor = value.relu or (reader is not None and reader.op is Op.RELU)
    return largest(low, current, floor, exposed), Missing("places of maxima are not computed")


def amax(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Compile the largest along axes."""
    value = args.secret("self")
    axes = args.places("dim", len(shape_of(low, value)))
    return (maximum(low, value, axes, args.flag("keepdim", False), exposed),)


def amin(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Compile the least along axes."""
    value = args.secret("self")
    axes = args.places("dim", len(shape_of(low, value)))
    negative = shifted(low, value, -1, 0, value.exposed)
    found = maximum(low, negative, axes, args.flag("keepdim", False), exposed)
    return (shifted(low, found, -1, 0, exposed),)


def maximum(low: Lowering, value: Secret, axes: tuple[int, ...], keepdim: bool, exposed: bool) -> Secret:
    """Give the largest along axes; ``axes`` are in order and from 0 up."""
    image = shape_of(low, value)
    kept = tuple(axis for axis in range(len(image)) if axis not in axes)
    count = prod(image[axis] for axis in axes)
    if not 1 <= count <= MOST_CANDIDATES:
        raise UnsupportedError(f"there are {count} candidates; a maximum takes 1 to {MOST_CANDIDATES}")
    source = low.comparable(value)
    held = low.registers[source]
    turned = Register(tuple(image[axis] for axis in axes + kept), held.scale, held.form, held.carry_bits)
    moved = low.emit(turned, lambda out: Permute((source,), out, axes + kept))
    rest = tuple(image[axis] for axis in kept)
    flat = reshaped(low, Secret(moved, False, value.exposed), (count, *rest), value.exposed)
    found = largest(low, flat.register, value.relu, exposed)
    shape = tuple(1 if axis in axes else size for axis, size in enumerate(image))
    return reshaped(low, found, shape, exposed) if keepdim else found


def largest(low: Lowering, current: int, floor: bool, exposed: bool) -> Secret:
    """Give the largest on the first axis of a register, which is gone, and of 0 with ``floor``."""
    shape = low.registers[current].shape
    if _in_pairs(low.maxima, shape[0] + floor, prod(shape[1:])):
        return _paired(low, current, floor, exposed)
    while low.registers[current].shape[0] > 1:
        current = _play(low, current)
    return reshaped(low, Secret(current, floor, exposed), shape[1:], exposed)


def _in_pairs(form: MaxForm, candidates: int, places: int) -> bool:
    match form:
        case MaxForm.TREE:
            return False
        case MaxForm.PAIRS:
            return 2 < candidates <= MOST_PAIRED
        case MaxForm.FITTING:
            return 2 < candidates <= FEW_CANDIDATES and places <= FEW_PLACES


def _paired(low: Lowering, current: int, floor: bool, exposed: bool) -> Secret:
    source = low.comparable(Secret(current, False, exposed))
    held, bits = low.registers[source], low.bits(source) + 1
    guard = low.guard_bits(source, bits)
    out = low.emit(
        Register(held.shape[1:], held.scale, Form.SHARE),
        lambda out: PairsMax((source,), out, bits, low.levels, floor, guard),
    )
    if floor:
        low.floored.add(out)
    return Secret(out, False, exposed)


def _play(low: Lowering, current: int) -> int:
    source = low.comparable(Secret(current, False, False))
    held, bits = low.registers[source], low.bits(source) + 1
    guard = low.guard_bits(source, bits)
    halved = Register(((held.shape[0] + 1) // 2, *held.shape[1:]), held.scale, Form.SHARE)
    return low.emit(halved, lambda out: PairMax((source,), out, bits, low.levels, guard))
