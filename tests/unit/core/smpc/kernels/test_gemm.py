"""Products of every way equal those of Python integers, for extreme words and at all edges of blocks."""

import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridward.core.smpc.kernels import cpu, gathers, gemm, reference, tiles
from gridward.core.smpc.kernels.gemm import Fixed, multiply_by
from gridward.core.smpc.kernels.paces import Way, ways
from gridward.core.smpc.kernels.seam import Gather, Kernels
from gridward.core.smpc.ring import RingArray

EXTREMES = [
    0,
    1,
    2**63,
    2**63 - 1,
    2**64 - 1,
    2**64 - 2,
    2**32,
    2**32 - 1,
    0x8080808080808080,
    0x7F7F7F7F7F7F7F7F,
]
HERE = ways()


@pytest.fixture(params=[reference, cpu], ids=["reference", "cpu"])
def kernels(request: pytest.FixtureRequest) -> Kernels:
    chosen: Kernels = request.param
    return chosen


def words(rng: np.random.Generator, *shape: int) -> RingArray:
    return rng.integers(0, 2**64, shape, dtype=np.uint64)


def extreme(chooser: random.Random, rows: int, columns: int) -> RingArray:
    return np.array(
        [[chooser.choice(EXTREMES) for _ in range(columns)] for _ in range(rows)], dtype=np.uint64
    )


def exact(a: RingArray, b: RingArray) -> list[list[int]]:
    return [[sum(map(int.__mul__, row, column)) % 2**64 for column in b.T.tolist()] for row in a.tolist()]


def by(way: Way, a: RingArray, b: RingArray) -> RingArray:
    out = np.zeros((a.shape[0], b.shape[1]), dtype=np.uint64)
    gather = gathers.of_transposed(*b.shape)
    multiply_by(way, Fixed(a[None]), np.ascontiguousarray(b.T).reshape(-1), gather, out.reshape(-1))
    return out


@pytest.mark.parametrize("inner", [1, 7, 8, 9, 63, 64, 65, 127, 128, 4608])
def test_products_are_those_of_python_integers(kernels: Kernels, inner: int) -> None:
    chooser = random.Random(inner)
    a, b = extreme(chooser, 2, inner), extreme(chooser, inner, 3)
    assert kernels.matmul(a, b).tolist() == exact(a, b)


@pytest.mark.parametrize("way", HERE)
@pytest.mark.parametrize("inner", [1, 63, 64, 127, 128, 511, 513, 4608, 25088, 2**17])
def test_every_way_is_exact_at_any_depth(way: Way, inner: int) -> None:
    chooser = random.Random(inner)
    a, b = extreme(chooser, 2, inner), extreme(chooser, inner, 2)
    assert by(way, a, b).tolist() == exact(a, b)


@pytest.mark.parametrize("way", HERE)
@pytest.mark.parametrize("extreme_word", [2**63, 2**63 - 1, 0x8080808080808080, 0x7F7F7F7F7F7F7F7F])
def test_sums_of_equal_extremes_do_not_overflow(way: Way, extreme_word: int) -> None:
    depth = 2**15
    a = np.full((1, depth), extreme_word, dtype=np.uint64)
    assert by(way, a, a.T).tolist() == [[extreme_word**2 * depth % 2**64]]


@pytest.mark.parametrize("way", HERE)
@settings(max_examples=40)
@given(
    rows=st.integers(1, 40),
    depth=st.integers(1, 140),
    columns=st.integers(1, 140),
    seed=st.integers(0, 2**32),
)
def test_every_way_gives_the_words_of_the_reference(
    way: Way, rows: int, depth: int, columns: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    a, b = words(rng, rows, depth), words(rng, depth, columns)
    assert np.array_equal(by(way, a, b), reference.matmul(a, b))


def gather_of_groups(groups: int, rows: int, depth: int, columns: int, step: int) -> Gather:
    places = np.arange(columns, dtype=np.int64) * step
    taps = np.arange(depth, dtype=np.int64) * (columns * step)
    starts = np.arange(groups, dtype=np.int64) * (columns * step * depth)
    outs = np.arange(groups, dtype=np.int64) * (rows * columns * step)
    return Gather(starts, taps, places, outs, columns * step, places)


@pytest.mark.parametrize("way", [way for way in HERE if way is not Way.ALONG])
@pytest.mark.parametrize("step", [1, 3])
@pytest.mark.parametrize("shape", [(3, 5, 70, 17), (2, 33, 9, 64), (1, 16, 64, 16), (4, 1, 3, 200)])
def test_groups_and_scattered_columns_are_added_where_they_belong(
    way: Way, step: int, shape: tuple[int, int, int, int]
) -> None:
    groups, rows, depth, columns = shape
    rng = np.random.default_rng(step)
    fixed, moving = words(rng, groups, rows, depth), words(rng, groups * depth * columns * step)
    gather = gather_of_groups(*shape, step)
    ours = words(rng, groups * rows * columns * step)
    theirs = ours.copy()
    multiply_by(way, Fixed(fixed), moving, gather, ours)
    reference.multiply(reference.fix(fixed), moving, gather, theirs)
    assert np.array_equal(ours, theirs)


def test_products_of_transposed_and_sliced_operands_are_right(kernels: Kernels) -> None:
    rng = np.random.default_rng(1)
    a, b = words(rng, 20, 7), words(rng, 5, 20)
    assert kernels.matmul(a.T, b.T).tolist() == exact(a.T, b.T)
    assert kernels.matmul(a.T[::2, ::2], b.T[::2]).tolist() == exact(a.T[::2, ::2], b.T[::2])


def test_a_product_of_nothing_is_zero(kernels: Kernels) -> None:
    empty = np.zeros((2, 0), dtype=np.uint64)
    assert kernels.matmul(empty, empty.T.copy()).tolist() == [[0, 0], [0, 0]]


def test_operands_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot multiply"):
        cpu.matmul(np.zeros((2, 3), dtype=np.uint64), np.zeros((2, 3), dtype=np.uint64))


def test_threads_multiply_by_one_operand_at_the_same_time() -> None:
    rng = np.random.default_rng(4)
    fixed, moving = Fixed(words(rng, 1, 70, 300)), [words(rng, 300, 50) for _ in range(16)]

    def work(b: RingArray) -> bool:
        out = np.zeros((70, 50), dtype=np.uint64)
        gemm.multiply(fixed, b.reshape(-1), gathers.of_columns(300, 50), out.reshape(-1))
        return np.array_equal(out, reference.matmul(fixed.rows[0], b))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, moving))


def test_a_fixed_operand_does_not_print_its_words() -> None:
    assert repr(Fixed(np.full((1, 2, 3), 77, dtype=np.uint64))) == "Fixed(shape=(1, 2, 3))"


@pytest.mark.skipif(Way.TILES not in HERE, reason="a processor without tiles")
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 17, 65), (3, 5, 9), (2, 16, 64), (1, 40, 130)])
def test_an_operand_is_words_or_digits_and_either_is_made_of_the_other(shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(shape[1])
    given_words = words(rng, *shape)
    operand = Fixed(given_words.copy())
    assert not operand.is_cut
    assert operand.blocks().nbytes == tiles.fixed_bytes(*shape)
    assert operand.is_cut
    assert np.array_equal(operand.rows, given_words)


@pytest.mark.skipif(Way.TILES not in HERE, reason="a processor without tiles")
def test_an_operand_that_was_cut_serves_products_that_words_would_serve_sooner() -> None:
    rng = np.random.default_rng(5)
    a, b = words(rng, 1, 20, 100), words(rng, 100, 1)
    operand, out = Fixed(a.copy()), np.zeros((20, 1), dtype=np.uint64)
    operand.blocks()
    gemm.multiply(operand, b.reshape(-1), gathers.of_transposed(100, 1), out.reshape(-1))
    assert operand.is_cut
    assert out.tolist() == exact(a[0], b)
