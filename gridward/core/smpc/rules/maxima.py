"""Rules of largest values."""

from gridward.core.smpc.gate import Permute
from gridward.core.smpc.lowering import Lowering, Secret
from gridward.core.smpc.program import Register
from gridward.core.smpc.rules.arithmetic import shape_of
from gridward.core.smpc.rules.pooling import tournament
from gridward.core.smpc.rules.shapes import reshaped


def maximum(low: Lowering, value: Secret, axes: tuple[int, ...], keepdim: bool, exposed: bool) -> Secret:
    """Give the largest along axes."""
    image = shape_of(low, value)
    kept = tuple(axis for axis in range(len(image)) if axis not in axes)
    source = low.comparable(value)
    held = low.registers[source]
    turned = Register(tuple(image[axis] for axis in axes + kept), held.scale, held.form, held.carry_bits)
    moved = low.emit(turned, lambda out: Permute((source,), out, axes + kept))
    won = tournament(low, moved)
    shape = tuple(1 if axis in axes else size for axis, size in enumerate(image) if keepdim or axis in kept)
    return reshaped(low, Secret(won, False, exposed), shape, exposed)
