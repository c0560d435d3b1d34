"""Smooth functions of one number, in decimal arithmetic: what look-up tables hold, equal on every machine.

``Decimal`` rounds ``exp``, ``ln`` and ``sqrt`` correctly, so no two machines can disagree on a table, as they
may on the last bit of a library's ``tanh``.
"""

from collections.abc import Callable, Mapping
from decimal import Context, Decimal, localcontext
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Final

_DIGITS: Final = 36
_PI: Final = Decimal("3.14159265358979323846264338327950288419716939937511")
_ONE: Final = Decimal(1)
_HALF: Final = Decimal("0.5")
_ERF_IS_ONE: Final = 7
"""From here on 1 - erf is below 2^-74."""


class Curve(StrEnum):
    """The functions that are tabulated. The two of GELU are even: half the argument is taken off."""

    SIGMOID = "sigmoid"
    TANH = "tanh"
    ERF = "erf"
    GELU_LESS_HALF = "gelu less half"
    GELU_TANH_LESS_HALF = "gelu by tanh less half"
    EXP = "exp"
    RECIPROCAL = "reciprocal"
    SQRT = "sqrt"
    RSQRT = "rsqrt"
    LOG = "log"


def value_of(curve: Curve, argument: Decimal) -> Decimal:
    """Give the curve at a point, to thirty digits."""
    with localcontext(Context(prec=_DIGITS)):
        return _FUNCTIONS[curve](argument)


def _sigmoid(x: Decimal) -> Decimal:
    small = (-abs(x)).exp()
    return (_ONE if x >= 0 else small) / (_ONE + small)


def _tanh(x: Decimal) -> Decimal:
    return 2 * _sigmoid(2 * x) - _ONE


@lru_cache(maxsize=1 << 13)
def _erf_of_size(size: Decimal) -> Decimal:
    """Add up 2/sqrt(pi) exp(-x^2) sum of 2^n x^(2n+1) / (1 3 5 .. (2n+1)); every term is positive."""
    if size >= _ERF_IS_ONE:
        return _ONE
    term = total = size
    place = 1
    while term > Decimal("1e-34"):
        place += 2
        term = term * 2 * size * size / place
        total += term
    return 2 * total * (-size * size).exp() / _PI.sqrt()


def _erf(x: Decimal) -> Decimal:
    return _erf_of_size(abs(x)).copy_sign(x)


def _gelu_less_half(x: Decimal) -> Decimal:
    return _HALF * x * _erf(x * _HALF.sqrt())


def _gelu_tanh_less_half(x: Decimal) -> Decimal:
    return _HALF * x * _tanh((2 / _PI).sqrt() * (x + Decimal("0.044715") * x * x * x))


_FUNCTIONS: Final[Mapping[Curve, Callable[[Decimal], Decimal]]] = MappingProxyType(
    {
        Curve.SIGMOID: _sigmoid,
        Curve.TANH: _tanh,
        Curve.ERF: _erf,
        Curve.GELU_LESS_HALF: _gelu_less_half,
        Curve.GELU_TANH_LESS_HALF: _gelu_tanh_less_half,
        Curve.EXP: lambda x: x.exp(),
        Curve.RECIPROCAL: lambda x: _ONE / x,
        Curve.SQRT: lambda x: x.sqrt(),
        Curve.RSQRT: lambda x: _ONE / x.sqrt(),
        Curve.LOG: lambda x: x.ln(),
    }
)
