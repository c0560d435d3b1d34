from itertools import combinations

import numpy as np
import pytest

from gridward.core.smpc.comparison import Comparison, plan_comparison
from gridward.core.smpc.gates.compare import blocks, merging, subsets
from gridward.core.smpc.kernels import cpu, reference
from gridward.core.smpc.kernels.seam import Kernels
from gridward.core.smpc.ring import BitArray


def levels(*plans: Comparison) -> list[tuple[Comparison, int]]:
    return [(plan, depth) for plan in plans for depth in range(len(plan.levels))]


def products_of(row: BitArray, terms: tuple[tuple[int, ...], ...], like: BitArray) -> BitArray:
    total = np.zeros_like(like)
    for term in terms:
        total ^= np.bitwise_and.reduce(row[list(term)], axis=0)
    return total


@pytest.mark.parametrize("kernels", [cpu, reference], ids=["cpu", "reference"])
@pytest.mark.parametrize(
    ("plan", "depth"), levels(plan_comparison(31, 2), plan_comparison(31, 1), plan_comparison(61, 2))
)
def test_a_level_merges_every_assignment_of_bits_whatever_the_masks(
    plan: Comparison, depth: int, kernels: Kernels
) -> None:
    level, layout = plan.levels[depth], merging(plan, depth)
    rng = np.random.default_rng(1)
    total = sum(merge.blocks for merge in level)
    bits = rng.integers(0, 256, (2 * total, 37), dtype=np.uint8)
    masks = [rng.integers(0, 256, (merge.variables, 37), dtype=np.uint8) for merge in level]
    products = [np.zeros((len(merge.products), 37), dtype=np.uint8) for merge in level]
    for merge, mask, product in zip(level, masks, products, strict=True):
        kernels.set_products(mask, subsets(merge), product)
    basis = np.concatenate([np.full((1, 37), 0xFF, dtype=np.uint8), *masks, *products])
    merged = kernels.merge(kernels.hide(bits, layout, basis), layout, basis, bits)
    start = 0
    for at, merge in enumerate(level):
        less, equal = bits[start : start + merge.blocks], bits[total + start : total + start + merge.blocks]
        variables = np.concatenate([equal[: merge.equals], less[1:]])
        assert np.array_equal(merged[at], less[0] ^ products_of(variables, merge.less, less[0]))
        assert np.array_equal(merged[len(level) + at], products_of(variables, merge.equal, less[0]))
        start += merge.blocks


def test_products_of_masks_cover_every_subset_that_an_expansion_needs() -> None:
    for merge in plan_comparison(31, 1).levels[0]:
        needed = {
            subset
            for term in (*merge.less, *merge.equal)
            for size in range(2, len(term) + 1)
            for subset in combinations(term, size)
        }
        assert set(merge.products) == needed


def test_blocks_are_laid_out_as_the_plan_says() -> None:
    plan = plan_comparison(31, 2)
    lows, sizes = blocks(plan)
    assert list(zip(lows.tolist(), sizes.tolist(), strict=True)) == list(plan.blocks)
