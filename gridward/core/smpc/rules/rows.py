"""Rules of softmax and of its logarithm, along one axis.

The largest value is subtracted first, exactly; so powers lie between 0 and 1, and their sum between 1 and the
number of values. What is costly about the sum is done once a row.
"""

from dataclasses import dataclass
from typing import Final

from gridward.core.smpc.curve import Curve
from gridward.core.smpc.lowering import Arguments, Lowering, Secret, Value
from gridward.core.smpc.ring import HEADROOM_BITS, RING_BITS
from gridward.core.smpc.rules.arithmetic import plus, shape_of
from gridward.core.smpc.rules.curves import GUARD_BITS, INDEX_BITS, cut, masked, opened, pieces, product, read
from gridward.core.smpc.rules.masks import erased, repeated
from gridward.core.smpc.rules.maxima import maximum
from gridward.core.smpc.rules.normal import Scaled
from gridward.core.smpc.rules.reductions import summed
from gridward.core.smpc.rules.scales import inverse_of_sum, logarithm
from gridward.core.smpc.rules.shapes import reshaped
from gridward.core.smpc.tabulation import LEAST_INDEX_BITS, Tabulation

REACH_BITS: Final = 4
"""Powers are tabulated down to e^-16, about 1e-7; what lies below counts as that."""

_ROOM: Final = RING_BITS - HEADROOM_BITS - 2
"""Fraction bits of a product that is 1 at most."""


@dataclass(frozen=True, slots=True)
class _Powers:
    """x less the largest, the powers of that, and their sum as a masked value, of at least ``least``."""

    below: Secret
    each: int
    total: Scaled
    least: int


def softmax(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Compile softmax: within 1.3e-4 of each probability, and a rounding of 2^-f."""
    powers = _powers(args, low, exposed)
    fine = low.fraction_bits + 4
    inverse = inverse_of_sum(low, powers.total, powers.least, _ROOM - fine, exposed)
    # while the sum is inverted
    each = cut(low, powers.each, fine, exposed)
    return (product(low, each, inverse, exposed),)


def log_softmax(args: Arguments, low: Lowering, exposed: bool) -> tuple[Value, ...]:
    """Compile the logarithm of softmax: within 7e-5."""
    powers = _powers(args, low, exposed)
    total = logarithm(low, powers.total, powers.least, exposed)
    return (plus(low, powers.below, total, -1, exposed),)


def _powers(args: Arguments, low: Lowering, exposed: bool) -> _Powers:
    given = args.secret("self")
    axis = args.axis("dim", len(shape_of(low, given)))
    value = Secret(low.in_range(given), False, given.exposed)
    hidden = low.hidden.get(args.name("self") or "")
    if hidden is not None:
        value = repeated(low, value, hidden, axis)
    below = plus(low, value, maximum(low, value, (axis,), True, exposed), -1, exposed)
    source = masked(low, below)
    held = low.registers[source]
    wanted = _table(low, held.scale)
    (inside,) = pieces(
        low, source, low.bits(source) + 1, (wanted.low,), ((((wanted.low, 0), (0, 1)), held.scale),)
    )
    each = read(low, inside, wanted, exposed)
    if hidden is not None:
        each = erased(low, each, hidden)
    total = summed(low, Secret(each, False, exposed), (axis,), exposed)
    shape = tuple(1 if at == axis else size for at, size in enumerate(held.shape))
    kept = opened(low, reshaped(low, total, shape, exposed).register)
    scale, count = wanted.out_scale, held.shape[axis]
    return _Powers(below, each, Scaled(kept, scale, scale + count.bit_length() + 2), 1 << (scale - 1))


def _table(low: Lowering, scale: int) -> Tabulation:
    """Lay a table of exp that ends with the cell of 0."""
    index_bits = max(LEAST_INDEX_BITS, min(INDEX_BITS, REACH_BITS + scale))
    shift = max(0, REACH_BITS + scale - index_bits)
    start = (2 << shift) - (1 << (index_bits + shift))
    return Tabulation(Curve.EXP, scale, start, index_bits, shift, 0, low.fraction_bits + GUARD_BITS)
