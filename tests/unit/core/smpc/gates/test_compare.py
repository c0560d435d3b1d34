from itertools import combinations

import numpy as np
import pytest

from gridward.core.smpc.comparison import Merge, plan_comparison
from gridward.core.smpc.gates.compare import entries, mask_products, one_hot, top_bits
from gridward.core.smpc.ring import unpack_bits


@pytest.mark.parametrize("merge", [merge for level in plan_comparison(31, 2).levels for merge in level])
def test_expanding_masked_bits_gives_the_product_for_every_assignment(merge: Merge) -> None:
    rng = np.random.default_rng(1)
    count = 1 << merge.variables
    values = np.array(
        [[at >> row & 1 for at in range(count)] for row in range(merge.variables)], dtype=np.uint8
    )
    masks = rng.integers(0, 2, values.shape, dtype=np.uint8)
    basis = np.concatenate([np.ones((1, count), dtype=np.uint8), masks, mask_products(masks, merge)])
    opened = values ^ masks
    for terms in (merge.less, merge.equal):
        total = np.zeros(count, dtype=np.uint8)
        for row, factor in zip(*entries(merge, terms), strict=True):
            chosen = [at for at in range(merge.variables) if int(factor) >> at & 1]
            total ^= np.bitwise_and.reduce(opened[chosen], axis=0, initial=1) & basis[row]
        expected = np.zeros(count, dtype=np.uint8)
        for term in terms:
            expected ^= np.bitwise_and.reduce(values[list(term)], axis=0)
        assert np.array_equal(total, expected)


def test_products_of_masks_cover_every_subset_that_an_expansion_needs() -> None:
    for merge in plan_comparison(31, 1).levels[0]:
        needed = {
            subset
            for term in (*merge.less, *merge.equal)
            for size in range(2, len(term) + 1)
            for subset in combinations(term, size)
        }
        assert set(merge.products) == needed


def test_a_table_has_one_bit_at_the_blocks_value() -> None:
    plan = plan_comparison(31, 2)
    rho = np.array([0, 2**31 - 1, 0b1011 << 27], dtype=np.uint64)
    assert one_hot(rho, plan, 0, "uint16").tolist() == [1, 1 << 15, 1 << 11]


def test_top_bits_are_packed_in_order() -> None:
    words = np.array([0, 2**31, 2**32 - 1, 2**31 - 1], dtype=np.uint64)
    assert unpack_bits(top_bits(words, 32), 4).tolist() == [False, True, True, False]
