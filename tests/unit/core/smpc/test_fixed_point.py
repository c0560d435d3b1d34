from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridward.core.errors import OutOfRangeError
from gridward.core.smpc.fixed_point import STRETCH, decode, encode
from gridward.core.smpc.ring import signed


@given(st.floats(-30000, 30000), st.integers(0, 30))
def test_encoding_is_the_nearest_integer_to_the_scaled_real(value: float, scale: int) -> None:
    got = int(signed(encode([value], scale))[0])
    assert abs(Fraction(got) - Fraction(value) * 2**scale) <= Fraction(1, 2)


@given(st.integers(-(2**46), 2**46), st.integers(0, 40))
def test_decoding_then_encoding_gives_the_same_word(value: int, scale: int) -> None:
    words = np.array([value], dtype=np.int64).view(np.uint64)
    assert np.array_equal(encode(decode(words, scale), scale), words)


def test_ties_go_to_even() -> None:
    assert signed(encode([0.5, 1.5, -0.5, -1.5], 0)).tolist() == [0, 2, 0, -2]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 2.0**46, -(2.0**46)])
def test_values_without_a_fixed_point_form_are_refused(value: float) -> None:
    with pytest.raises(OutOfRangeError):
        encode([1.0, value], 16)


def test_the_narrower_width_is_enforced_and_named() -> None:
    assert encode([32767.0], 16, 32).size == 1
    with pytest.raises(OutOfRangeError, match="below 32768"):
        encode([32768.0], 16, 32)


@pytest.mark.parametrize("count", [0, 1, STRETCH, 2 * STRETCH + 3])
def test_long_arrays_are_encoded_and_decoded_as_their_values_are(count: int) -> None:
    reals = np.random.default_rng(count).normal(0.0, 1000.0, count)
    words = encode(reals, 16, 32)
    assert words.view(np.int64).tolist() == [round(Fraction(value) * 2**16) for value in reals.tolist()]
    assert np.array_equal(decode(words, 16), np.rint(reals * 2**16) / 2**16)
