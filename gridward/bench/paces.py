"""How fast this machine is at the parts of ring products: times of products, split by least squares."""

from dataclasses import fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gridward.bench.measure import seconds_a_call
from gridward.core.smpc.kernels import cpu, gathers
from gridward.core.smpc.kernels.gemm import multiply_by
from gridward.core.smpc.kernels.paces import DEFAULT, Paces, Way, parts, ways

SHAPES: Final = {
    Way.ALONG: ((128, 784, 1), (128, 128, 4), (500, 800, 1), (2048, 2048, 1)),
    Way.VECTORS: ((1, 16, 16), (4, 64, 64), (1, 512, 512), (16, 150, 100), (20, 25, 576), (64, 576, 256)),
    Way.TILES: (
        (16, 64, 16),
        (16, 1152, 16),
        (256, 64, 16),
        (16, 64, 1024),
        (64, 576, 256),
        (128, 784, 128),
        (512, 512, 64),
    ),
}
"""Shapes (rows, depth, columns) in which each part of a way takes most of the time once."""

_SEED: Final = 21
_NAMES: Final = [field.name for field in fields(Paces)]


def measured_paces(repeat: int) -> Paces:
    """Time products in every way that this processor has; parts of other ways keep their defaults."""
    rows = [_row(way, shape, repeat) for way in ways() for shape in SHAPES[way]]
    return solved(np.array(rows))


def _row(way: Way, shape: tuple[int, int, int], repeat: int) -> list[float]:
    """Give how often each part occurs in one nanosecond of a product."""
    rows, depth, columns = shape
    rng = np.random.default_rng(_SEED)
    fixed = cpu.fix(rng.integers(0, 2**64, (1, rows, depth), dtype=np.uint64))
    moving = rng.integers(0, 2**64, depth * columns, dtype=np.uint64)
    out = np.zeros(rows * columns, dtype=np.uint64)
    lay = gathers.of_transposed if way is Way.ALONG else gathers.of_columns
    gather = lay(depth, columns)
    taken = min(seconds_a_call(lambda: multiply_by(way, fixed, moving, gather, out), repeat)) * 1e9
    counts = parts(*shape)[way]
    return [counts.get(name, 0.0) / taken for name in _NAMES]


def solved(rows: NDArray[np.float64]) -> Paces:
    """Find the paces, none below 0, by which every row comes nearest to one nanosecond."""
    occurring = [at for at in range(len(_NAMES)) if rows[:, at].any()]
    values = {_NAMES[at]: 0.0 for at in occurring}
    while occurring:
        found = np.linalg.lstsq(rows[:, occurring], np.ones(len(rows)), rcond=None)[0]
        if found.min() >= 0:
            values |= {_NAMES[at]: float(pace) for at, pace in zip(occurring, found, strict=True)}
            break
        occurring = [at for at, pace in zip(occurring, found, strict=True) if pace > 0]
    kept = {name: getattr(DEFAULT, name) for name in _NAMES if name not in values}
    return Paces(**values, **kept)
