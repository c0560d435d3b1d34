"""A guard tells the client, and it alone, whether what was compared kept within its bits."""

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gridward.core.errors import RangeViolationError
from gridward.core.smpc.correlations import CHECKS, Key, SlotArray, holder
from gridward.core.smpc.gate import Gate, PairMax, PairsMax, Piecewise, Relu, Truncate
from gridward.core.smpc.gates import guard
from gridward.core.smpc.link import Link
from gridward.core.smpc.party import RunResult, answer
from gridward.core.smpc.program import Form, Program, Register
from gridward.core.smpc.query import reconstruct_output
from gridward.core.smpc.ring import RingArray
from tests.support.parties import jointly
from tests.support.programs import program_of, share, wire
from tests.support.rigged import rigged_sessions

BITS = 4
HALF = 1 << (BITS - 1)
Integers = NDArray[np.int64]


def answered(program: Program, masked: RingArray, wanted: Mapping[Key, SlotArray]) -> list[RunResult]:
    """Run a program under chosen masks."""
    sessions = rigged_sessions(program, wanted)

    def work(party: int, link: Link) -> RunResult:
        return answer(sessions[party], masked, link)

    return jointly(len(sessions), work)


def sums(program: Program, results: list[RunResult]) -> NDArray[np.uint64]:
    """Add up what the guards found: (guards, CHECKS)."""
    kept = [np.iinfo(holder(gate.guard)).max for gate in program.guarded.values()]
    found = np.sum([result.checks for result in results], axis=0, dtype=np.uint64)
    return found.reshape(-1, CHECKS) & np.array(kept, dtype=np.uint64)[:, None]


def one_by_one(program: Program, values: Integers, masks: RingArray) -> NDArray[np.bool_]:
    """Say for each query of one value under one mask whether its guard told the client."""
    told = []
    for value, mask in zip(values, masks, strict=True):
        masked = np.array([int(value) + int(mask)], dtype=object) % 2**64
        results = answered(
            program, masked.astype(np.uint64).reshape(program.input.shape), {(0, "mask"): mask.reshape(1)}
        )
        told.append(bool(sums(program, results).any()))
    return np.array(told)


def every_excess(
    monkeypatch: pytest.MonkeyPatch, program: Program, masked: RingArray, wanted: Mapping[Key, SlotArray]
) -> NDArray[np.uint64]:
    """Run once and give every excess for itself, by coefficients that are 1 at one place a run of sums."""
    found: list[NDArray[np.uint64]] = []

    def kept(at: int, session: object, like: SlotArray) -> SlotArray:
        found.append(like.astype(np.uint64))
        return np.zeros((CHECKS, like.size), dtype=like.dtype)

    monkeypatch.setattr(guard, "_coefficients", kept)
    answered(program, masked, wanted)
    (gate,) = program.guarded.values()
    return np.sum(found, axis=0, dtype=np.uint64) & np.uint64((1 << (16 if gate.guard <= 16 else 32)) - 1)


def signed_excess(values: Integers, bits: int) -> Integers:
    """Say by how many times 2^bits values leave ``bits`` bits: 0 where they do not."""
    return (values + (1 << (bits - 1))) >> bits


def relu(count: int, bits: int, parties: int, levels: int = 2, watched: int = 16) -> Program:
    gates: list[Gate] = [Relu((0,), 1, bits, levels, watched)]
    return program_of(gates, [wire((count,)), share((count,))], parties=parties)


@pytest.mark.parametrize("parties", [2, 3, 4, 5])
@pytest.mark.parametrize("bits", range(2, 7))
@pytest.mark.parametrize("levels", [1, 2])
def test_every_value_of_four_times_the_range_under_every_mask_has_its_excess(
    monkeypatch: pytest.MonkeyPatch, bits: int, levels: int, parties: int
) -> None:
    count = 4 << bits
    values = np.arange(-count // 2, count // 2, dtype=np.int64).repeat(count)
    masks = np.tile(np.arange(count, dtype=np.uint64), count)
    program = relu(values.size, bits, parties, levels)
    found = every_excess(monkeypatch, program, values.view(np.uint64) + masks, {(0, "mask"): masks})
    assert np.array_equal(found.astype(np.int16), signed_excess(values, bits))


@settings(max_examples=40)
@given(
    st.integers(2, 40),
    st.integers(-(2**62), 2**62),
    st.integers(0, 2**64 - 1),
    st.sampled_from([2, 3, 5]),
    st.sampled_from([1, 2]),
)
def test_the_client_is_told_of_a_value_exactly_where_it_leaves_the_bits(
    bits: int, value: int, mask: int, parties: int, levels: int
) -> None:
    edge = 1 << (bits - 1)
    values = np.array([value >> 20, edge - 1, edge, -edge, -edge - 1, 0, -1], dtype=np.int64)
    masks = np.full(values.size, mask, dtype=np.uint64)
    told = one_by_one(relu(1, bits, parties, levels), values, masks)
    excess = signed_excess(values, bits)
    # an excess that is a multiple of 2^k goes unnoticed with probability 2^-4(16 - k)
    sure = (excess == 0) | (excess % 256 != 0)
    assert np.array_equal(told[sure], (excess != 0)[sure])


@pytest.mark.parametrize("watched", [6, 8, 12, 16, 20, 32])
def test_excesses_that_cancel_are_noticed_all_the_same(watched: int) -> None:
    values = np.array([HALF, -HALF - 1, HALF, -HALF - 1], dtype=np.int64)
    masks = np.array([1, 2, 3, 4], dtype=np.uint64)
    program = relu(4, BITS, 2, watched=watched)
    results = answered(program, values.view(np.uint64) + masks, {(0, "mask"): masks})
    assert sums(program, results).all()
    shares, checks = [one.output_share for one in results], [one.checks for one in results]
    with pytest.raises(RangeViolationError, match=r"gate 1 \(Relu\) compared what left the 4 bits"):
        reconstruct_output(program, shares, checks)


def pair_max(count: int, parties: int) -> Program:
    gate = PairMax((0,), 1, BITS, 2, 16)
    return program_of([gate], [wire((2, count)), share((1, count))], parties=parties)


def largest(count: int, floor: bool, parties: int) -> Program:
    gate = PairsMax((0,), 1, BITS, 2, floor, 16)
    return program_of([gate], [wire((3, count)), share((count,))], parties=parties)


def stairs(count: int, thresholds: tuple[int, ...], parties: int) -> Program:
    rows = (tuple((at, at % 2) for at in range(len(thresholds) + 1)),)
    gate = Piecewise((0,), 1, thresholds, rows, BITS, 2, 16)
    return program_of([gate], [wire((count,)), share((1, count))], parties=parties)


def all_values(columns: int, reach: int) -> Integers:
    axes = np.meshgrid(*[np.arange(-reach, reach)] * columns, indexing="ij")
    return np.stack([axis.reshape(-1) for axis in axes]).astype(np.int64)


def drawn(shape: tuple[int, ...], seed: int) -> RingArray:
    return np.random.default_rng(seed).integers(0, 2**64, shape, dtype=np.uint64)


@pytest.mark.parametrize("parties", [2, 3, 4, 5])
def test_every_pair_has_the_excess_of_its_difference(monkeypatch: pytest.MonkeyPatch, parties: int) -> None:
    values = all_values(2, 2 * HALF)
    masks = drawn(values.shape, 1)
    program = pair_max(values.shape[1], parties)
    found = every_excess(monkeypatch, program, values.view(np.uint64) + masks, {(0, "mask"): masks})
    assert np.array_equal(found.astype(np.int16), signed_excess(values[0] - values[1], BITS))


@pytest.mark.parametrize("floor", [False, True])
@pytest.mark.parametrize("parties", [2, 3, 4, 5])
def test_all_pairs_have_the_excesses_of_their_differences(
    monkeypatch: pytest.MonkeyPatch, floor: bool, parties: int
) -> None:
    values = all_values(3, HALF)
    masks = drawn(values.shape, 2)
    program = largest(values.shape[1], floor, parties)
    found = every_excess(monkeypatch, program, values.view(np.uint64) + masks, {(0, "mask"): masks})
    held = [*values, np.zeros_like(values[0])] if floor else list(values)
    pairs = [signed_excess(left - right, BITS) for at, left in enumerate(held) for right in held[at + 1 :]]
    # the order of pairs is the layout's own
    got = found.astype(np.int16).reshape(len(pairs), -1)
    assert sorted(map(bytes, got.astype(np.int64))) == sorted(map(bytes, np.array(pairs)))


@pytest.mark.parametrize("thresholds", [(0,), (-3, 2), (-3, 0, 2)])
@pytest.mark.parametrize("parties", [2, 3, 4, 5])
def test_straight_pieces_are_guarded_at_the_outermost_thresholds(
    monkeypatch: pytest.MonkeyPatch, thresholds: tuple[int, ...], parties: int
) -> None:
    values = np.arange(-3 * HALF, 3 * HALF, dtype=np.int64)
    masks = drawn(values.shape, 3)
    program = stairs(values.size, thresholds, parties)
    found = every_excess(monkeypatch, program, values.view(np.uint64) + masks, {(0, "mask"): masks})
    ends = sorted({thresholds[0], thresholds[-1]})
    wanted = [signed_excess(values - end, BITS) for end in ends]
    assert np.array_equal(found.astype(np.int16), np.concatenate(wanted))


GATES: dict[str, tuple[Gate, tuple[int, ...]]] = {
    "relu": (Relu((1,), 2, 20, 2, 16), (2, 512)),
    "pair": (PairMax((1,), 2, 20, 2, 16), (1, 512)),
    "pairs": (PairsMax((1,), 2, 20, 2, False, 16), (512,)),
    "pieces": (Piecewise((1,), 2, (5,), (((0, 0), (0, 1)),), 20, 2, 16), (1, 2, 512)),
}


@pytest.mark.parametrize("name", GATES)
@pytest.mark.parametrize("parties", [2, 3, 5])
def test_truncated_values_are_guarded_whatever_their_mask_wraps(
    monkeypatch: pytest.MonkeyPatch, name: str, parties: int
) -> None:
    gate, made = GATES[name]
    rng = np.random.default_rng(parties)
    y = rng.integers(-(2**61), 2**61, (2, 512)) >> rng.integers(0, 50, (2, 512))
    first, masks = drawn(y.shape, 4), drawn(y.shape, 5)
    registers = [wire(y.shape, 16), Register(y.shape, 0, Form.TRUNCATED, 16), share(made, 0)]
    program = program_of([Truncate((0,), 1, 16), gate], registers, parties=parties)
    wanted = {(0, "mask"): first, (1, "mask"): masks}
    found = every_excess(monkeypatch, program, y.view(np.uint64) + first, wanted)
    low = (1 << 16) - 1
    coin = (y.view(np.uint64) + masks & np.uint64(low)) < (masks & np.uint64(low))
    z = (y >> 16) + coin
    seen = {"relu": z, "pieces": z - 5}.get(name, z[0] - z[1])
    excess = signed_excess(seen, 20).reshape(-1)
    assert excess.any()
    assert np.array_equal(found.astype(np.uint16), excess.astype(np.uint16))
