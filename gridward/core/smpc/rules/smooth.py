"""Rules of functions that flatten out: a clamp to the ends of a table, then a look-up.

Errors are for arguments over the whole declared range, beyond the roundings of the argument itself: see
``docs/encrypted.md`` for figures, and ``tests/unit/core/smpc/rules/test_smooth.py``, which holds them.
"""

from gridward.core.smpc.curve import Curve
from gridward.core.smpc.lowering import Arguments, Lowering, Secret, Value
from gridward.core.smpc.rules.arithmetic import plus
from gridward.core.smpc.rules.curves import GUARD_BITS, masked, pieces, read, tabulated


def sigmoid(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Compile 1 / (1 + exp(-x)) from a table over [-16, 16): within 2.7e-5 and a rounding of 2^-f."""
    return (_clamped(low, args.secret("self"), Curve.SIGMOID, (-16, 5), exposed),)


def tanh(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Compile tanh from a table over [-8, 8): within 5.1e-5 and a rounding of 2^-f."""
    return (_clamped(low, args.secret("self"), Curve.TANH, (-8, 4), exposed),)


def erf(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Compile the error function from a table over [-4, 4): within 1.8e-5 and a rounding of 2^-f."""
    return (_clamped(low, args.secret("self"), Curve.ERF, (-4, 3), exposed),)


def gelu(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Compile GELU, exact or by tanh: x / 2 and an even function, from a table over [-8, 8).

    Within 5.3e-5 and a rounding of 2^-f. Left of the table the result is 0, right of it x.
    """
    value, by_tanh = args.secret("self"), args.text("approximate", "none") == "tanh"
    curve = Curve.GELU_TANH_LESS_HALF if by_tanh else Curve.GELU_LESS_HALF
    source = masked(low, value)
    held = low.registers[source]
    wanted = tabulated(low, curve, held.scale, (-8, 4), low.fraction_bits + GUARD_BITS)
    start, end = wanted.low, wanted.high
    inside, half = pieces(
        low,
        source,
        low.bits(source),
        (start, end),
        (
            (((start, 0), (0, 1), (end, 0)), held.scale),
            (((start, 0), (0, 1), (-end, 2)), held.scale + 1),
        ),
    )
    even = Secret(read(low, inside, wanted, exposed), False, exposed)
    return (plus(low, even, Secret(half, False, exposed), 1, exposed),)


def _clamped(low: Lowering, value: Secret, curve: Curve, span: tuple[int, int], exposed: bool) -> Secret:
    source = masked(low, value)
    held = low.registers[source]
    wanted = tabulated(low, curve, held.scale, span, low.fraction_bits + GUARD_BITS)
    clamp = (((wanted.low, 0), (0, 1), (wanted.high, 0)), held.scale)
    (inside,) = pieces(low, source, low.bits(source), (wanted.low, wanted.high), (clamp,))
    return Secret(read(low, inside, wanted, exposed), False, exposed)
