"""Small panels of errors against arguments as one SVG document, without a plotting library."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]

_WIDTH: Final = 360
_HEIGHT: Final = 220
_MARGIN: Final = 46
_BINS: Final = 60
_LOW: Final = -7
_HIGH: Final = 0
"""Powers of ten of the error axis: what is less, or more, is drawn at its end."""
_X_LOW: Final = -5
_X_HIGH: Final = 4.6
_STYLE: Final = (
    "text{font:11px sans-serif;fill:#333}.axis{stroke:#999;fill:none}.grid{stroke:#eee}"
    ".largest{stroke:#c0392b;fill:none}.mean{stroke:#2c6fbb;fill:none}.bound{stroke:#999;"
    "stroke-dasharray:4 3;fill:none}"
)


@dataclass(frozen=True, slots=True)
class Panel:
    """Absolute errors at arguments, and the bound that is promised there."""

    title: str
    x: Reals
    error: Reals
    bound: Reals


def figure(panels: Sequence[Panel], columns: int = 3) -> str:
    """Draw panels in rows: largest and mean error and bound, by the argument's magnitude, negative left."""
    rows = -(-len(panels) // columns)
    drawn = []
    for at, panel in enumerate(panels):
        left, top = at % columns * _WIDTH, at // columns * _HEIGHT
        drawn.append(f'<g transform="translate({left},{top})">{_panel(panel)}</g>')
    size = f'width="{columns * _WIDTH}" height="{rows * _HEIGHT}"'
    body = "\n".join(drawn)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{_STYLE}</style>\n{body}\n</svg>\n'


def _panel(panel: Panel) -> str:
    two_sided = bool(np.any(panel.x < 0))
    parts = [f'<text x="{_MARGIN}" y="16">{panel.title}</text>', *_axes(two_sided)]
    for sign in (-1, 1) if two_sided else (1,):
        chosen = sign * panel.x > 0
        places = np.log10(np.abs(panel.x[chosen]))
        for kind, values in (("bound", panel.bound), ("largest", panel.error), ("mean", panel.error)):
            line = _line(places, values[chosen], sign, two_sided, kind == "mean")
            parts.append(f'<polyline class="{kind}" points="{line}"/>')
    return "".join(parts)


def _axes(two_sided: bool) -> list[str]:
    parts = []
    for power in range(_LOW, _HIGH + 1):
        y = _y(float(power))
        parts.append(f'<line class="grid" x1="{_MARGIN}" x2="{_WIDTH - 10}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="4" y="{y + 4:.1f}">1e{power}</text>')
    for sign in (-1, 1) if two_sided else (1,):
        for power in (-4, -2, 0, 2, 4):
            name = f"{'-' if sign < 0 else ''}1e{power}"
            x = _x(np.array(float(power)), sign, two_sided)
            parts.append(f'<text x="{float(x) - 10:.1f}" y="{_HEIGHT - 12}">{name}</text>')
    frame = f'x="{_MARGIN}" y="24" width="{_WIDTH - 10 - _MARGIN}" height="{_HEIGHT - 54}"'
    return [*parts, f'<rect class="axis" {frame}/>']


def _x(places: Reals, sign: int, two_sided: bool) -> Reals:
    part = (np.clip(places, _X_LOW, _X_HIGH) - _X_LOW) / (_X_HIGH - _X_LOW)
    along = (1 + sign * part) / 2 if two_sided else part
    return np.asarray(_MARGIN + along * (_WIDTH - 10 - _MARGIN))


def _y(power: float) -> float:
    part = (min(max(power, _LOW), _HIGH) - _LOW) / (_HIGH - _LOW)
    return _HEIGHT - 30 - part * (_HEIGHT - 54)


def _line(places: Reals, values: Reals, sign: int, two_sided: bool, mean: bool) -> str:
    edges = np.linspace(_X_LOW, _X_HIGH, _BINS + 1)
    points = []
    for low, high in pairwise(edges):
        held = values[(places >= low) & (places < high)]
        if held.size:
            x = float(_x(np.array((low + high) / 2), sign, two_sided))
            height = max(float(held.mean() if mean else held.max()), 10.0**_LOW)
            points.append(f"{x:.1f},{_y(float(np.log10(height))):.1f}")
    return " ".join(points)
