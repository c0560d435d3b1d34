import math
from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridward.core.smpc.curve import Curve, value_of


def gelu_tanh(x: float) -> float:
    return 0.5 * x * math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))


FLOATS: dict[Curve, Callable[[float], float]] = {
    Curve.SIGMOID: lambda x: 1 / (1 + math.exp(-x)),
    Curve.TANH: math.tanh,
    Curve.ERF: math.erf,
    Curve.GELU_LESS_HALF: lambda x: 0.5 * x * math.erf(x / math.sqrt(2)),
    Curve.GELU_TANH_LESS_HALF: gelu_tanh,
    Curve.EXP: math.exp,
    Curve.RECIPROCAL: lambda x: 1 / x,
    Curve.SQRT: math.sqrt,
    Curve.RSQRT: lambda x: 1 / math.sqrt(x),
    Curve.LOG: math.log,
}
POSITIVE = {Curve.RECIPROCAL, Curve.SQRT, Curve.RSQRT, Curve.LOG}


def test_every_curve_is_compared() -> None:
    assert set(FLOATS) == set(Curve)


@pytest.mark.parametrize("curve", Curve)
@given(x=st.floats(2.0**-20, 16))
def test_curves_are_those_of_floats(curve: Curve, x: float) -> None:
    for point in (x,) if curve in POSITIVE else (x, -x):
        assert float(value_of(curve, Decimal(point))) == pytest.approx(
            FLOATS[curve](point), rel=1e-13, abs=1e-15
        )


@pytest.mark.parametrize("curve", sorted(set(Curve) - POSITIVE))
def test_curves_go_through_zero_smoothly(curve: Curve) -> None:
    assert float(value_of(curve, Decimal(0))) == pytest.approx(FLOATS[curve](0.0), abs=1e-30)


def test_thirty_digits_are_right() -> None:
    # erf(1), tanh(1) and 1/(1 + 1/e), from Abramowitz and Stegun and by series in integers
    known = {
        Curve.ERF: "0.842700792949714869341220635082",
        Curve.TANH: "0.761594155955764888119458282604",
        Curve.SIGMOID: "0.731058578630004879251159241821",
    }
    for curve, digits in known.items():
        assert abs(value_of(curve, Decimal(1)) - Decimal(digits)) < Decimal("1e-29")
