"""Rules that pick places of a value, or put values together."""

from gridward.core.smpc.gate import Concatenate, Slice
from gridward.core.smpc.lowering import Arguments, Lowering, Secret, UnsupportedError, Value, Weight
from gridward.core.smpc.program import Form, Register
from gridward.core.smpc.rules.arithmetic import shape_of, shifted_to
from gridward.core.smpc.rules.shapes import reshaped


def select(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Compile one place of an axis, which is gone."""
    value = args.secret("self")
    shape = shape_of(low, value)
    axis, index = args.axis("dim", len(shape)), int(args.number("index", 0.0))
    if not -shape[axis] <= index < shape[axis]:
        raise UnsupportedError(f"place {index} of an axis of {shape[axis]}")
    picked = sliced(low, value, axis, range(index % shape[axis], index % shape[axis] + 1), exposed)
    return (reshaped(low, picked, (*shape[:axis], *shape[axis + 1 :]), exposed),)


def slice_axis(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Compile a slice of one axis; of a parameter, only one that takes all of it."""
    value = args.value("self")
    if not isinstance(value, (Secret, Weight)):
        raise UnsupportedError("only values and parameters are sliced")
    shape = shape_of(low, value) if isinstance(value, Secret) else value.shape
    axis, step = args.axis("dim", len(shape)), int(args.number("step", 1.0))
    start, end = int(args.number("start", 0.0)), int(args.number("end", float(shape[axis])))
    if step < 1:
        raise UnsupportedError(f"a slice has a step of {step}")
    places = range(*slice(start, end, step).indices(shape[axis]))
    if not places:
        raise UnsupportedError("the slice is empty")
    if places == range(shape[axis]):
        return (value,)
    if isinstance(value, Weight):
        raise UnsupportedError(f"parameter {value.name!r} is sliced; give it the size that is read")
    return (sliced(low, value, axis, places, exposed),)


def sliced(low: Lowering, value: Secret, axis: int, places: range, exposed: bool) -> Secret:
    """Pick evenly spaced places of one axis."""
    held = low.registers[value.register]
    shape = (*held.shape[:axis], len(places), *held.shape[axis + 1 :])
    out = low.emit(
        Register(shape, held.scale, held.form, held.carry_bits),
        lambda out: Slice((value.register,), out, axis, places.start, places.step),
    )
    return Secret(out, value.relu, exposed)


def cat(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Compile values one after another; a ReLU that all of them wait for waits on."""
    values = args.secrets("tensors")
    axis = args.axis("dim", len(shape_of(low, values[0])))
    waiting = all(value.relu for value in values)
    sources = [value.register if waiting else low.share(value) for value in values]
    scale = max(low.registers[source].scale for source in sources)
    aligned = tuple(shifted_to(low, source, scale) for source in sources)
    held = [low.registers[source] for source in aligned]
    rests = {(*register.shape[:axis], *register.shape[axis + 1 :]) for register in held}
    if len(rests) != 1 or any(len(register.shape) != len(held[0].shape) for register in held):
        raise UnsupportedError("the shapes differ beyond the axis")
    size = sum(register.shape[axis] for register in held)
    shape = (*held[0].shape[:axis], size, *held[0].shape[axis + 1 :])
    alike = len({(register.form, register.carry_bits) for register in held}) == 1
    form, carry_bits = (held[0].form, held[0].carry_bits) if alike else (Form.SHARE, 0)
    out = low.emit(Register(shape, scale, form, carry_bits), lambda out: Concatenate(aligned, out, axis))
    return (Secret(out, waiting, exposed),)
