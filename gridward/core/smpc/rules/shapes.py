"""Rules that move words and change none."""

from math import prod

from gridward.core.smpc.gate import Expand, Permute, Shape, View
from gridward.core.smpc.lowering import Arguments, Lowering, Secret, UnsupportedError, Value, Weight
from gridward.core.smpc.program import Register
from gridward.core.smpc.rules.arithmetic import shape_of


def view(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Compile a view."""
    return (viewed(low, args.value("self"), args.sizes("size"), exposed),)


def viewed(low: Lowering, value: Value | None, sizes: tuple[int, ...], exposed: bool) -> Value:
    """Give a value or parameter another shape."""
    if not isinstance(value, (Secret, Weight)):
        raise UnsupportedError("only values and parameters are viewed")
    if isinstance(value, Weight) and value.transposed:
        raise UnsupportedError("a transposed parameter is viewed")
    old = shape_of(low, value) if isinstance(value, Secret) else value.shape
    known = prod(size for size in sizes if size != -1)
    shape = tuple(prod(old) // max(known, 1) if size == -1 else size for size in sizes)
    if min(sizes, default=1) < -1 or prod(shape) != prod(old):
        raise UnsupportedError(f"{old} has another number of elements than {sizes}")
    if isinstance(value, Weight):
        return Weight(value.name, shape)
    return reshaped(low, value, shape, exposed)


def reshaped(low: Lowering, value: Secret, shape: Shape, exposed: bool) -> Secret:
    """Give a value another shape of as many elements."""
    held = low.registers[value.register]
    register = Register(shape, held.scale, held.form, held.carry_bits)
    return Secret(low.emit(register, lambda out: View((value.register,), out)), value.relu, exposed)


def unsqueeze(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Compile a new axis of one."""
    value = args.value("self")
    if not isinstance(value, (Secret, Weight)):
        raise UnsupportedError("only values and parameters are viewed")
    shape = list(shape_of(low, value) if isinstance(value, Secret) else value.shape)
    at = int(args.number("dim", 0))
    shape.insert(at if at >= 0 else at + len(shape) + 1, 1)
    return (viewed(low, value, tuple(shape), exposed),)


def squeeze(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Compile the loss of axes of one."""
    value = args.secret("self")
    old = shape_of(low, value)
    drop = {at % len(old) for at in args.sizes("dim")}
    shape = tuple(size for at, size in enumerate(old) if at not in drop or size != 1)
    return (viewed(low, value, shape, exposed),)


def expand(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Compile repeated axes of one."""
    value, sizes = args.secret("self"), args.sizes("size")
    old = shape_of(low, value)
    new = len(sizes) - len(old)
    shape = tuple(old[at - new] if size == -1 and at >= new else size for at, size in enumerate(sizes))
    fits = new >= 0 and all(size in (1, wanted) for size, wanted in zip(old, shape[new:], strict=True))
    if not fits or min(shape, default=1) < 1:
        raise UnsupportedError(f"{old} does not expand to {sizes}")
    return (expanded(low, value, shape, exposed),)


def expanded(low: Lowering, value: Secret, shape: Shape, exposed: bool) -> Secret:
    """Repeat a value to a shape that it broadcasts to."""
    held = low.registers[value.register]
    if shape == held.shape:
        return value
    register = Register(shape, held.scale, held.form, held.carry_bits)
    return Secret(low.emit(register, lambda out: Expand((value.register,), out)), value.relu, exposed)


def permute(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Compile another order of axes; a matrix of parameters is only noted as transposed."""
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
    if sorted(order) != list(range(len(held.shape))):
        raise UnsupportedError(f"{axes} is no order of the axes of {held.shape}")
    register = Register(tuple(held.shape[axis] for axis in order), held.scale, held.form, held.carry_bits)
    out = low.emit(register, lambda out: Permute((secret.register,), out, order))
    return (Secret(out, secret.relu, exposed),)
