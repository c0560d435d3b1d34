"""Rules of reciprocal, quotient, roots, logarithm and exponential: over the whole declared range.

Errors are relative to the result, besides the roundings of argument and result, where the width leaves room
for ``normal.MOST_BITS``; see ``docs/encrypted.md``. What would leave the declared range stops just within it,
at (1 - 2^-12) 2^(width - 1 - f): no error is raised, for a party does not see it.
"""

from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal
from math import floor, frexp
from typing import Final

import numpy as np

from gridward.core.smpc.curve import Curve
from gridward.core.smpc.gate import Piece
from gridward.core.smpc.lowering import Arguments, Lowering, Public, Secret, Value
from gridward.core.smpc.rules.arithmetic import plus
from gridward.core.smpc.rules.curves import cut, masked, pieces, product, read
from gridward.core.smpc.rules.factors import div as divide_by_public
from gridward.core.smpc.rules.normal import (
    MOST_BITS,
    Scaled,
    brought_up,
    read_mantissa,
    scaled_value,
    windows,
)
from gridward.core.smpc.tabulation import Tabulation

SHY: Final = 1 + 2.0**-12
_LN2: Final = Decimal("0.69314718055994530941723212145817656807550013436026")


def reciprocal(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Compile 1 / x for both signs: within 2e-5; 0 counts as the least positive number."""
    return (Secret(_inverse(low, args.secret("self"), exposed), False, exposed),)


def div(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Compile a quotient: the reciprocal of a divisor that depends on the query, times the dividend.

    Within 2e-5, and the dividend times 2^-30.
    """
    if not isinstance(divisor := args.value("other"), Secret):
        return divide_by_public(args, low, exposed)
    inverse = _inverse(low, divisor, exposed)
    left = low.in_range(args.secret("self"))
    right = cut(low, inverse, low.max_scale - low.registers[left].scale, exposed)
    return (product(low, left, right, exposed),)


def _inverse(low: Lowering, value: Secret, exposed: bool) -> int:
    """Give 1 / x = N 2^(scale - span) / v; both x N and N change sign with x, but for the edge."""
    held = scaled_value(low, value)
    edge = 2.0 ** (held.scale + low.fraction_bits + 1 - low.width) * SHY
    found = windows(floor(edge) + 1, held.bits)
    near = held.span - frexp(edge)[1]
    stop: Piece = (round(edge * 2.0**near), 0)
    factors = [1 << (held.span - window.top) for window in found]
    starts = [window.start for window in found]
    inner: list[Piece] = [*((0, -factor) for factor in reversed(factors)), stop, stop]
    beside: list[Piece] = [*((-factor, 0) for factor in reversed(factors)), (-(1 << near), 0), (1 << near, 0)]
    x, n = pieces(
        low,
        held.source,
        held.bits,
        (*(1 - start for start in reversed(starts)), 0, *starts),
        (
            ((*inner, *((0, factor) for factor in factors)), held.span),
            ((*beside, *((factor, 0) for factor in factors)), held.span - held.scale),
        ),
    )
    room = low.max_scale - (held.span - held.scale)
    return product(low, read_mantissa(low, Curve.RECIPROCAL, x, room, exposed), n, exposed).register


def inverse_of_sum(low: Lowering, value: Scaled, least: int, room: int, exposed: bool) -> int:
    """Give 1 / x of a positive value not below ``least``: within 2e-5."""
    found = windows(least, value.bits)
    x, n = brought_up(
        low,
        value,
        found,
        lambda window: 1 << (value.span - window.top),
        1 << (value.span - found[0].top),
        value.span - value.scale,
    )
    table = read_mantissa(low, Curve.RECIPROCAL, x, room - (value.span - value.scale), exposed)
    return product(low, table, n, exposed).register


def sqrt(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Compile a square root: within 3e-6; 0 for what is not positive."""
    return (Secret(root(low, scaled_value(low, args.secret("self")), 1, 1, exposed), False, exposed),)


def rsqrt(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Compile 1 / sqrt(x): within 6e-6; what is not positive counts as the least positive number."""
    return (Secret(root(low, scaled_value(low, args.secret("self")), -1, 1, exposed), False, exposed),)


def root(
    low: Lowering, value: Scaled, sign: int, least: int, exposed: bool, ratio: tuple[int, int] = (1, 1)
) -> int:
    """Give the root of ratio x, or 1 / root for ``sign`` -1: that of v times a power of two."""
    parity = value.scale % 2
    found = windows(least, value.bits, parity)
    halves = [sign * (window.top - value.scale) // 2 for window in found]
    lowest = min(halves)
    x, beside = brought_up(
        low,
        value,
        found,
        lambda window: 1 << (sign * (window.top - value.scale) // 2 - lowest),
        0 if sign > 0 else 1 << (halves[0] - lowest),
        -lowest,
    )
    curve = Curve.SQRT if sign > 0 else Curve.RSQRT
    table = read_mantissa(low, curve, x, low.max_scale + lowest, exposed, ratio)
    return product(low, table, beside, exposed).register


def log(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Compile a natural logarithm: within 4e-6; what is not positive counts as the least positive number."""
    return (logarithm(low, scaled_value(low, args.secret("self")), 1, exposed),)


def log1p(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Compile log(1 + x), to the absolute error of ``log``."""
    one = plus(low, args.secret("self"), Public(np.ones(())), 1, exposed)
    return (logarithm(low, scaled_value(low, one), 1, exposed),)


def logarithm(low: Lowering, value: Scaled, least: int, exposed: bool) -> Secret:
    """Give log v + log(2^(top - scale)) for a positive value; below ``least`` that of ``least``."""
    found = windows(least, value.bits)
    room = min(MOST_BITS, low.max_scale)
    powers = {window: _units(window.top - value.scale, room, ROUND_HALF_EVEN) for window in found}
    x, beside = brought_up(low, value, found, powers.__getitem__, powers[found[0]], room)
    table = read_mantissa(low, Curve.LOG, x, room, exposed)
    return plus(low, Secret(table, False, exposed), Secret(beside, False, exposed), 1, exposed)


def exp(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Compile an exponential: within 3e-5, and a rounding of 2^-f.

    It is 2^k exp(x - k log 2), k the multiple of four that leaves the least.
    """
    source = masked(low, args.secret("self"))
    held = low.registers[source]
    reach = low.width - 1 - low.fraction_bits
    least = -4 * ((low.fraction_bits + 4) // 4)
    powers = range(least, reach, 4)
    fine = held.scale + 4
    end = int(((reach * _LN2) - Decimal(2) ** -12) * 2**held.scale)
    thresholds = (*(_units(power, held.scale, ROUND_CEILING) for power in powers), end)
    lines: list[Piece] = [(-_units(power, fine, ROUND_HALF_EVEN), 16) for power in powers]
    factors: list[Piece] = [(1 << (power - least), 0) for power in powers]
    stop = (end << 4) - _units(powers[-1], fine, ROUND_HALF_EVEN)
    x, n = pieces(
        low,
        source,
        low.bits(source),
        thresholds,
        ((((0, 0), *lines, (stop, 0)), fine), (((0, 0), *factors, factors[-1]), -least)),
    )
    return (product(low, read(low, x, _exp_table(fine, low.max_scale + least), exposed), n, exposed),)


def _exp_table(scale: int, room: int) -> Tabulation:
    """Lay a table over [-1/2, 7/2)."""
    out = min(MOST_BITS, room)
    precision = (out + 8) // 2
    shift = scale + 2 - 10
    return Tabulation(
        Curve.EXP, scale, -(1 << (scale - 1)), 10, shift, max(0, shift - (out - precision)), precision
    )


def _units(power: int, scale: int, rounding: str) -> int:
    return int((power * _LN2 * 2**scale).to_integral_value(rounding))
