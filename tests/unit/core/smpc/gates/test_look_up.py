import numpy as np
import pytest
from numpy.typing import NDArray

from gridward.core.errors import OutOfRangeError
from gridward.core.smpc.curve import Curve
from gridward.core.smpc.fixed_reference import evaluate
from gridward.core.smpc.gate import LookUp
from gridward.core.smpc.kernels import cpu, reference
from gridward.core.smpc.kernels.seam import Kernels
from gridward.core.smpc.program import Program
from gridward.core.smpc.rules.curves import read
from gridward.core.smpc.tabulation import Tabulation, tabulate
from tests.support.handmade import handmade
from tests.support.rigged import output_of, rigged_sessions

Numbers = NDArray[np.int64]
SMALL = Tabulation(Curve.TANH, 6, -(1 << 8), 6, 3, 0, 12)
"""Nine bits: 64 cells of 8 over [-4, 4)."""
COARSE = Tabulation(Curve.TANH, 8, -(1 << 10), 6, 5, 2, 12)
"""Eleven bits, of which the two lowest are not looked at."""


def program_of(wanted: Tabulation, count: int, shows: bool, **numbers: int) -> Program:
    return handmade(
        lambda low, source: read(low, source, wanted, shows), count, fraction_bits=wanted.scale, **numbers
    )


def gate_of(program: Program) -> int:
    (at,) = [at for at, gate in enumerate(program.gates) if isinstance(gate, LookUp)]
    return at


def read_by_hand(wanted: Tabulation, x: Numbers, mask: Numbers) -> Numbers:
    """Read with Python's integers: the cells of sum and mask apart, as the formula says."""
    table, size = tabulate(wanted), 1 << wanted.argument_bits
    found = []
    for value, hidden in zip(x.tolist(), mask.tolist(), strict=True):
        total = (value - wanted.low + hidden) % size
        cell = ((total >> wanted.shift) - (hidden >> wanted.shift)) % (1 << wanted.index_bits)
        width = 1 << wanted.shift
        place = (total % width >> wanted.drop) - (hidden % width >> wanted.drop)
        start = (int(table.intercepts[cell]) + table.intercept) << (wanted.shift - wanted.drop)
        found.append(start + (int(table.slopes[cell]) + table.slope) * place)
    return np.array(found, dtype=np.int64)


@pytest.mark.parametrize("kernels", [cpu, reference], ids=["cpu", "reference"])
@pytest.mark.parametrize("parties", [2, 3])
def test_every_argument_is_read_under_every_mask(parties: int, kernels: Kernels) -> None:
    size = 1 << SMALL.argument_bits
    arguments = np.arange(SMALL.low, SMALL.high + 1, dtype=np.int64)
    x, mask = arguments.repeat(size), np.tile(np.arange(size), arguments.size)
    program = program_of(SMALL, x.size, False, parties=parties)
    first = np.random.default_rng(1).integers(0, 2**64, x.size, dtype=np.uint64)
    wanted = {(0, "mask"): first, (gate_of(program), "mask"): mask.astype(np.uint16)}
    got = output_of(rigged_sessions(program, wanted, kernels), x.view(np.uint64) + first)
    assert np.array_equal(got, read_by_hand(SMALL, x, mask))
    error = np.abs(np.ldexp(got.astype(float), -SMALL.out_scale) - np.tanh(x / 64))
    # M h^2 / 4 for cells of 1/8, and the roundings of both coefficients
    assert error.max() < 0.77 / 64 / 4 + 2.0**-12


@pytest.mark.parametrize("parties", [2, 4, 5])
@pytest.mark.parametrize("wanted", [SMALL, COARSE], ids=["all bits", "low bits dropped"])
def test_the_upper_bits_of_a_mask_do_not_matter(wanted: Tabulation, parties: int) -> None:
    rng = np.random.default_rng(parties)
    x = rng.integers(wanted.low, wanted.high + 1, 500)
    first, mask = rng.integers(0, 2**64, x.size, dtype=np.uint64), rng.integers(0, 2**16, x.size)
    program = program_of(wanted, x.size, False, parties=parties)
    masks = {(0, "mask"): first, (gate_of(program), "mask"): mask.astype(np.uint16)}
    got = output_of(rigged_sessions(program, masks), x.view(np.uint64) + first)
    assert np.array_equal(got, read_by_hand(wanted, x, mask % (1 << wanted.argument_bits)))
    clear = evaluate(program, {}, x / 2**wanted.scale, {gate_of(program): mask.astype(np.uint64)})
    assert np.array_equal(clear, np.ldexp(got.astype(float), -wanted.out_scale))


@pytest.mark.parametrize("wanted", [SMALL, COARSE], ids=["all bits", "low bits dropped"])
def test_with_the_cell_known_apart_there_is_no_coin(wanted: Tabulation) -> None:
    rng = np.random.default_rng(3)
    x = np.arange(wanted.low, wanted.high + 1, dtype=np.int64)
    program = program_of(wanted, x.size, True)
    zero = np.zeros_like(x)
    answers = []
    for _ in range(2):
        masks = {(0, "mask"): rng.integers(0, 2**64, x.size, dtype=np.uint64)}
        masks[gate_of(program), "mask"] = rng.integers(0, 2**64, (2, x.size), dtype=np.uint64)
        answers.append(output_of(rigged_sessions(program, masks), x.view(np.uint64) + masks[0, "mask"]))
    assert np.array_equal(*answers)
    assert np.array_equal(answers[0], read_by_hand(wanted, x, zero))
    assert np.array_equal(
        evaluate(program, {}, x / 2**wanted.scale), np.ldexp(answers[0].astype(float), -wanted.out_scale)
    )


@pytest.mark.parametrize("beyond", [SMALL.low - 1, SMALL.high + 1])
def test_an_argument_beyond_the_table_is_found_by_the_reference(beyond: int) -> None:
    program = program_of(SMALL, 1, False)
    with pytest.raises(OutOfRangeError, match=r"gate 1 \(LookUp\)"):
        evaluate(program, {}, [beyond / 64])


def test_a_table_without_slopes_shares_no_products() -> None:
    flat = Tabulation(Curve.SIGMOID, 4, -(1 << 5), 6, 0, 0, 12)
    x = np.arange(flat.low, flat.high + 1, dtype=np.int64)
    program = program_of(flat, x.size, False)
    assert {slot.name for slot in program.manifest if slot.gate == 1} == {"mask", "hot", "flips", "beta"}
    first = np.random.default_rng(1).integers(0, 2**64, x.size, dtype=np.uint64)
    got = output_of(rigged_sessions(program, {(0, "mask"): first}), x.view(np.uint64) + first)
    assert np.abs(got / 2**12 - 1 / (1 + np.exp(-x / 16))).max() < 2.0**-12
