from itertools import product

import pytest

from gridward.core.smpc.comparison import Merge, plan_comparison


def blocks_of(value: int, blocks: tuple[tuple[int, int], ...]) -> list[int]:
    return [value >> low & ((1 << bits) - 1) for low, bits in blocks]


def merged(merge: Merge, less: list[int], equal: list[int]) -> tuple[int, int]:
    variables = [*equal[: merge.equals], *less[1:]]
    outputs = []
    for terms in (merge.less, merge.equal):
        total = 0
        for term in terms:
            total ^= int(all(variables[at] for at in term))
        outputs.append(total)
    return outputs[0] ^ less[0], outputs[1]


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("bits", [1, 2, 5, 8, 16, 21, 31, 32, 40, 63])
def test_blocks_tile_the_number_from_the_top(bits: int, levels: int) -> None:
    plan = plan_comparison(bits, levels)
    assert sum(size for _, size in plan.blocks) == bits
    tops = [low + size for low, size in plan.blocks]
    assert tops == [bits, *(low for low, _ in plan.blocks[:-1])] and plan.blocks[-1][0] == 0
    assert len(plan.levels) <= levels
    assert all(size <= 6 for _, size in plan.blocks)


@pytest.mark.parametrize(("bits", "levels"), [(8, 2), (18, 2), (31, 1), (31, 2), (32, 2)])
def test_merging_block_results_gives_less_for_every_pattern_of_blocks(bits: int, levels: int) -> None:
    plan = plan_comparison(bits, levels)
    for pattern in product((-1, 0, 1), repeat=len(plan.blocks)):
        less, equal = [int(sign < 0) for sign in pattern], [int(sign == 0) for sign in pattern]
        for level in plan.levels:
            results, at = [], 0
            for merge in level:
                rows = slice(at, at + merge.blocks)
                results.append(merged(merge, less[rows], equal[rows]))
                at += merge.blocks
            less, equal = [less for less, _ in results], [equal for _, equal in results]
        first = next((sign for sign in pattern if sign), 0)
        assert less == [int(first < 0)]


def test_two_levels_take_fewer_dealer_bits_than_one() -> None:
    def bits(levels: int) -> int:
        plan = plan_comparison(31, levels)
        tables = sum(max(8, 1 << size) for _, size in plan.blocks)
        return tables + sum(len(merge.products) for level in plan.levels for merge in level)

    assert (bits(1), bits(2)) == (307, 142)


def test_opened_bits_are_those_of_the_design() -> None:
    opened = [
        sum(merge.variables for level in plan_comparison(31, levels).levels for merge in level)
        for levels in (1, 2)
    ]
    assert opened == [10, 16]
