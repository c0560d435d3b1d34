import numpy as np
import pytest
from numpy.typing import NDArray

from gridward.core.smpc.fixed_reference import evaluate
from gridward.core.smpc.gate import Piecewise, Truncate
from gridward.core.smpc.kernels import cpu, reference
from gridward.core.smpc.kernels.seam import Kernels
from gridward.core.smpc.lowering import Lowering
from gridward.core.smpc.program import Form, Program, Register
from tests.support.handmade import handmade
from tests.support.rigged import output_of, rigged_sessions

Numbers = NDArray[np.int64]
THRESHOLDS = (-9, -1, 0, 5)
CLAMP = ((-9, 0), (0, 1), (0, 1), (0, 1), (5, 0))
STAIRS = ((7, 0), (-3, 0), (1 << 40, 0), (0, 0), (-1, 0))
BENT = ((0, -2), (9, 3), (9, 0), (-5, 1 << 30), (2, -7))


def expected(pieces: tuple[tuple[int, int], ...], x: Numbers) -> Numbers:
    place = np.sum([x >= threshold for threshold in THRESHOLDS], axis=0)
    return np.array(
        [pieces[at][0] + pieces[at][1] * value for at, value in zip(place, x.tolist(), strict=True)]
    )


def program_of(
    rows: tuple[tuple[tuple[int, int], ...], ...], count: int, bits: int, **numbers: int
) -> Program:
    def emit(low: Lowering, source: int) -> int:
        made = Register((len(rows), count), 0, Form.SHARE)
        return low.emit(made, lambda out: Piecewise((source,), out, THRESHOLDS, rows, bits, low.levels))

    return handmade(emit, count, **numbers)


@pytest.mark.parametrize("kernels", [cpu, reference], ids=["cpu", "reference"])
@pytest.mark.parametrize(
    ("bits", "parties", "levels"), [(6, 2, 1), (6, 3, 2), (7, 4, 2), (8, 5, 1), (8, 2, 2)]
)
def test_every_value_is_placed_under_every_mask(
    bits: int, parties: int, levels: int, kernels: Kernels
) -> None:
    # values of one bit less, so that differences from thresholds fit
    count, masks = 1 << (bits - 1), 1 << bits
    x = np.arange(-count // 2, count // 2, dtype=np.int64).repeat(masks)
    above = np.random.default_rng(bits).integers(0, 1 << (64 - bits), x.size, dtype=np.uint64) << np.uint64(
        bits
    )
    mask = above | np.tile(np.arange(masks, dtype=np.uint64), count)
    rows = (CLAMP, STAIRS, BENT)
    program = program_of(rows, x.size, bits, parties=parties, levels=levels)
    got = output_of(rigged_sessions(program, {(0, "mask"): mask}, kernels), x.view(np.uint64) + mask)
    for row, pieces in zip(got, rows, strict=True):
        assert np.array_equal(row, expected(pieces, x))


def test_stairs_alone_take_no_products() -> None:
    x = np.arange(-16, 16, dtype=np.int64)
    program = program_of((STAIRS,), x.size, 6)
    assert not [slot for slot in program.manifest if slot.name == "beta_mask"]
    mask = np.random.default_rng(1).integers(0, 2**64, x.size, dtype=np.uint64)
    got = output_of(rigged_sessions(program, {(0, "mask"): mask}), x.view(np.uint64) + mask)
    assert np.array_equal(got[0], expected(STAIRS, x))


@pytest.mark.parametrize("parties", [2, 5])
def test_truncated_values_are_placed_with_their_carry(parties: int) -> None:
    rng = np.random.default_rng(parties)
    y = np.concatenate([rng.integers(-(2**37), 2**37, 300), [2**37 - 1, -(2**37), 0, -1, 1]])

    def emit(low: Lowering, source: int) -> int:
        cut = low.emit(Register((y.size,), 0, Form.TRUNCATED, 30), lambda out: Truncate((source,), out, 30))
        made = Register((1, y.size), 0, Form.SHARE)
        return low.emit(made, lambda out: Piecewise((cut,), out, THRESHOLDS, (BENT,), 12, 2))

    program = handmade(emit, y.size, parties=parties)
    first, second = (rng.integers(0, 2**64, y.size, dtype=np.uint64) for _ in range(2))
    sessions = rigged_sessions(program, {(0, "mask"): first, (1, "mask"): second})
    got = output_of(sessions, y.view(np.uint64) + first)
    coin = ((y.view(np.uint64) + second) & np.uint64(2**30 - 1)) < (second & np.uint64(2**30 - 1))
    assert np.array_equal(got[0], expected(BENT, (y >> 30) + coin))


def test_the_reference_places_alike() -> None:
    x = np.arange(-16, 16, dtype=np.int64)
    program = program_of((CLAMP, BENT), x.size, 6)
    clear = evaluate(program, {}, x / 2)
    assert np.array_equal(clear, np.stack([expected(CLAMP, x), expected(BENT, x)]))
