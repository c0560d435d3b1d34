import json
from dataclasses import fields

import numpy as np
import pytest

from gridward.core.errors import InvalidInputError
from gridward.core.smpc.kernels import cpu, gathers, reference
from gridward.core.smpc.kernels.paces import (
    DEFAULT,
    Paces,
    Way,
    choose,
    estimate,
    parts,
    read_paces,
    ways,
    write_paces,
)
from gridward.core.smpc.kernels.seam import Kernels

SLOW = dict.fromkeys(("along", "along_far", "vector", "tile"), 1e6)
FAST = {Way.ALONG: {"along": 0.0}, Way.VECTORS: {"vector": 0.0}, Way.TILES: {"tile": 0.0}}


@pytest.mark.parametrize("way", ways())
def test_the_choice_follows_the_paces(way: Way) -> None:
    assert choose(Paces(**(SLOW | FAST[way])), 64, 64, 64, True) is way


def test_rows_that_do_not_lie_along_k_are_never_summed_in_place() -> None:
    assert choose(Paces(along=0.0), 64, 64, 64, False) is not Way.ALONG


def test_default_paces_take_long_products_to_tiles_and_single_rows_to_sums() -> None:
    layer, single = estimate(DEFAULT, 128, 1152, 256), estimate(DEFAULT, 128, 784, 1)
    assert min(layer, key=layer.__getitem__) is Way.TILES
    assert min(single, key=single.__getitem__) is Way.ALONG


def test_every_pace_counts_for_some_product() -> None:
    named = {
        name for shape in ((8, 8, 8), (4096, 4096, 1)) for part in parts(*shape).values() for name in part
    }
    assert named == {field.name for field in fields(Paces)}


def test_paces_are_read_as_they_were_written() -> None:
    paces = Paces(along=0.3, tile=7.5)
    assert read_paces(write_paces(paces)) == paces


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{}",
        json.dumps({"format": 2, "nanoseconds": {}}),
        json.dumps({"format": 1, "nanoseconds": {"along": 1.0}}),
        write_paces(DEFAULT).replace("0.1", "-0.1"),
        write_paces(DEFAULT).replace("0.1", "NaN"),
        write_paces(DEFAULT).replace("0.1", '"fast"'),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError):
        read_paces(text)


@pytest.mark.parametrize("way", ways())
def test_tuned_kernels_multiply_as_the_reference_does(way: Way) -> None:
    tuned: Kernels = cpu.Tuned(Paces(**(SLOW | FAST[way])))
    rng = np.random.default_rng(1)
    rows, x = (rng.integers(0, 2**64, shape, dtype=np.uint64) for shape in ((9, 30), (7, 30)))
    out = np.zeros((7, 9), dtype=np.uint64)
    tuned.multiply(tuned.fix(rows[None]), x.reshape(-1), gathers.of_rows(7, 30, 9), out.reshape(-1))
    assert np.array_equal(out, reference.matmul(x, rows.T))
    assert np.array_equal(tuned.matmul(x, rows.T), out)


def test_warming_up_leaves_kernels_as_they_were() -> None:
    cpu.warm_up()
    assert cpu.matmul(np.full((1, 1), 3, dtype=np.uint64), np.full((1, 1), 5, dtype=np.uint64)).tolist() == [
        [15]
    ]
