"""Curves as SVG, drawn by the server: a page needs no script for them."""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 420
HEIGHT: Final = 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 12, 24
_TICKS: Final = 4
_NUMBERS: Final = 10
_LARGEST: Final = sys.float_info.max


@dataclass(frozen=True, slots=True)
class Tick:
    """A line of the grid: where it is, and what it says."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Curve:
    """A curve in the coordinates of its picture; `line` is what a polyline takes."""

    line: str
    dots: tuple[tuple[float, float], ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    top: int = _TOP
    bottom: int = HEIGHT - _BOTTOM


def curve(points: Sequence[tuple[int, float]]) -> Curve:
    """Draw values over their numbers, which grow; each value has to be finite, and there is one at least.

    One point, or equal values, lie in the middle. About ten numbers are ticked.
    """
    if not points or not all(math.isfinite(value) for _, value in points):
        raise ValueError("a curve takes finite values, at least one")
    first, last = points[0][0], points[-1][0]
    low, high = min(value for _, value in points), max(value for _, value in points)
    if low == high:
        margin = 0.5 * (abs(low) or 1)
        low, high = max(low - margin, -_LARGEST), min(high + margin, _LARGEST)
    dots = tuple((_across(number, first, last), _up(value, low, high)) for number, value in points)
    steps = [low * (1 - part / _TICKS) + high * (part / _TICKS) for part in range(_TICKS + 1)]
    stride = max(1, math.ceil((last - first + 1) / _NUMBERS))
    return Curve(
        line=" ".join(f"{x},{y}" for x, y in dots),
        dots=dots,
        across=tuple(
            Tick(_across(number, first, last), str(number)) for number in range(first, last + 1, stride)
        ),
        up=tuple(Tick(_up(step, low, high), f"{step:.3g}") for step in steps),
    )


def thinned(points: Sequence[tuple[int, float]], most: int = 200) -> list[tuple[int, float]]:
    """Keep about so many points, evenly, the first and the last among them."""
    stride = max(1, math.ceil((len(points) - 1) / (most - 1)))
    kept = list(points[::stride])
    return kept if not points or kept[-1] == points[-1] else [*kept, points[-1]]


def _across(number: int, first: int, last: int) -> float:
    part = (number - first) / (last - first) if last > first else 0.5
    return round(_LEFT + (WIDTH - _LEFT - _RIGHT) * part, 1)


def _up(value: float, low: float, high: float) -> float:
    # Halves, so that the span of the largest floats does not overflow.
    part = (value / 2 - low / 2) / (high / 2 - low / 2)
    return round(HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * part, 1)
