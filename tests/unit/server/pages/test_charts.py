"""Curves stay within their picture, and say where their values are."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridward.server.pages.charts import curve, thinned

FINITE = st.floats(allow_nan=False, allow_infinity=False)
POINTS = st.lists(FINITE, min_size=1, max_size=300).map(lambda values: list(enumerate(values, 1)))


@given(POINTS)
def test_every_point_lies_within_the_picture(points: list[tuple[int, float]]) -> None:
    drawn = curve(points)
    assert len(drawn.dots) == len(points)
    for x, y in drawn.dots:
        assert drawn.left <= x <= drawn.right
        assert drawn.top <= y <= drawn.bottom
    assert len(drawn.across) <= 11


def test_a_falling_curve_falls_and_its_ends_are_at_the_edges() -> None:
    drawn = curve([(1, 4.0), (2, 2.0), (3, 1.0)])
    assert [x for x, _ in drawn.dots] == [drawn.left, (drawn.left + drawn.right) / 2, drawn.right]
    heights = [y for _, y in drawn.dots]
    assert heights == sorted(heights)
    assert (heights[0], heights[-1]) == (drawn.top, drawn.bottom)
    assert (drawn.up[0].label, drawn.up[-1].label) == ("1", "4")
    assert [tick.label for tick in drawn.across] == ["1", "2", "3"]


def test_one_point_and_equal_ones_lie_in_the_middle() -> None:
    for points in ([(7, 0.0)], [(1, 5.0), (2, 5.0)]):
        drawn = curve(points)
        assert {y for _, y in drawn.dots} == {(drawn.top + drawn.bottom) / 2}


def test_the_largest_floats_are_drawn_too() -> None:
    for points in ([(1, -1.7e308)], [(1, 1.7e308)], [(1, -1.7e308), (2, 1.7e308)]):
        drawn = curve(points)
        assert all(drawn.top <= y <= drawn.bottom for _, y in drawn.dots)
        assert all(math.isfinite(tick.at) and tick.label not in ("nan", "inf") for tick in drawn.up)


@pytest.mark.parametrize("points", [[], [(1, math.nan)], [(1, 1.0), (2, math.inf)]])
def test_what_cannot_be_drawn_is_refused(points: list[tuple[int, float]]) -> None:
    with pytest.raises(ValueError, match="finite"):
        curve(points)


@given(st.integers(0, 3000), st.integers(2, 250))
def test_thinning_keeps_the_ends_and_a_bounded_number(count: int, most: int) -> None:
    points = [(number, float(number)) for number in range(count)]
    kept = thinned(points, most)
    assert len(kept) <= most + 1
    assert kept[:1] == points[:1]
    assert kept[-1:] == points[-1:]
    assert kept == sorted(set(kept))
