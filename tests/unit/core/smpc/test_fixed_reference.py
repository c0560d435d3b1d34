from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridward.core.errors import OutOfRangeError
from gridward.core.smpc.compile import compile_plan
from gridward.core.smpc.fixed_reference import evaluate
from tests.support.parties import ask, deployed, linear_plan, mlp_plan

reals = st.floats(-100, 100)


@settings(max_examples=40)
@given(st.lists(reals, min_size=6, max_size=6), st.lists(reals, min_size=3, max_size=3), st.integers(2, 5))
def test_a_linear_layer_is_the_floor_of_the_exact_rational(
    weights: list[float], x: list[float], parties: int
) -> None:
    program = compile_plan(linear_plan(3, 2), batch=1, parties=parties)
    values = {"fc.weight": np.array(weights).reshape(2, 3), "fc.bias": np.array([0.5, -0.25])}
    got = ask(deployed(program, values), np.array([x])).output
    one = 1 << 16
    words = [round(Fraction(value) * one) for value in x]
    for row in range(2):
        held = [round(Fraction(value) * one) for value in weights[3 * row : 3 * row + 3]]
        exact = sum(w * v for w, v in zip(held, words, strict=True)) + (one * one // 2, -one * one // 4)[row]
        assert Fraction(float(got[0, row])) == Fraction(exact // one, one)


def test_values_that_leave_the_width_are_found_and_named() -> None:
    program = compile_plan(mlp_plan(2, 2, 1), batch=1, parties=2)
    values = {
        "a.weight": np.full((2, 2), 300.0),
        "a.bias": np.zeros(2),
        "b.weight": np.ones((1, 2)),
        "b.bias": np.zeros(1),
    }
    assert evaluate(program, values, [[50.0, 4.0]]).tolist() == [[32400.0]]
    with pytest.raises(OutOfRangeError, match=r"gate \d+ \(Truncate\)"):
        evaluate(program, values, [[100.0, 100.0]])
    values["a.weight"] = np.full((2, 2), 150.0)
    with pytest.raises(OutOfRangeError, match=r"gate \d+ \(TruncateFaithful\)"):
        evaluate(program, values, [[100.0, 100.0]])


def test_without_masks_every_truncation_goes_to_the_floor() -> None:
    program = compile_plan(mlp_plan(1, 1, 1), batch=1, parties=2)
    values = {
        "a.weight": np.array([[2.0**-16]]),
        "a.bias": np.zeros(1),
        "b.weight": np.ones((1, 1)),
        "b.bias": np.zeros(1),
    }
    assert evaluate(program, values, [[1.999]]).tolist() == [[2.0**-16]]
