from itertools import product

import numpy as np
import pytest

from gridward.core.plans.ops import Op
from gridward.core.plans.plan import Plan, Ref
from gridward.core.smpc.compile import compile_plan
from gridward.core.smpc.gate import PairMax, PairsMax
from gridward.core.smpc.kernels import cpu, reference
from gridward.core.smpc.kernels.seam import Kernels
from gridward.core.smpc.lowering import MaxForm
from gridward.core.smpc.pairing import plan_pairing
from gridward.core.smpc.program import Program
from tests.support.parties import BATCH, plan_of, step
from tests.support.rigged import output_of, rigged_sessions


def largest_plan(count: int, floor: bool) -> Plan:
    steps = [step(Op.AMAX, Ref("r" if floor else "x"), (1,), False, out="y")]
    return plan_of([step(Op.RELU, Ref("x"), out="r")] * floor + steps, (BATCH, count), {}, "y")


def compiled(count: int, floor: bool, batch: int, bits: int, parties: int, levels: int) -> Program:
    program = compile_plan(
        largest_plan(count, floor),
        batch=batch,
        parties=parties,
        fraction_bits=1,
        width=bits,
        levels=levels,
        maxima=MaxForm.PAIRS,
    )
    assert [type(gate) for gate in program.gates if isinstance(gate, (PairMax, PairsMax))] == [PairsMax]
    return program


@pytest.mark.parametrize("candidates", range(2, 12))
def test_one_candidate_wins_whatever_the_order(candidates: int) -> None:
    plan = plan_pairing(candidates)
    rng = np.random.default_rng(candidates)
    for _ in range(200):
        values = rng.integers(0, 4, candidates)
        less = np.array([values[i] < values[j] for i, j in plan.pairs])
        wins = [
            all(less[at] != flip for at, flip in zip(rows, flips, strict=True))
            for rows, flips in zip(plan.deciding, plan.flips, strict=True)
        ]
        assert [at for at, won in enumerate([*wins, not any(wins)]) if won] == [int(np.argmax(values))]


@pytest.mark.parametrize("kernels", [cpu, reference], ids=["cpu", "reference"])
@pytest.mark.parametrize(("parties", "levels"), [(2, 1), (2, 2), (3, 2), (5, 1)])
@pytest.mark.parametrize(
    ("count", "floor", "bits"), [(2, True, 4), (3, False, 3), (3, True, 3), (4, True, 2)]
)
def test_the_largest_is_right_for_every_choice_of_values(
    count: int, floor: bool, bits: int, parties: int, levels: int, kernels: Kernels
) -> None:
    reach = range(-(1 << (bits - 1)), 1 << (bits - 1))
    values = np.array(list(product(reach, repeat=count)), dtype=np.int64)
    program = compiled(count, floor, len(values), bits, parties, levels)
    mask = np.random.default_rng(1).integers(0, 2**64, values.shape, dtype=np.uint64)
    sessions = rigged_sessions(program, {(0, "mask"): mask}, kernels)
    wanted = values.max(axis=1)
    assert np.array_equal(
        output_of(sessions, values.view(np.uint64) + mask), np.maximum(wanted, 0) if floor else wanted
    )


@pytest.mark.parametrize("bits", [3, 4])
def test_the_largest_is_right_under_every_mask(bits: int) -> None:
    count = 1 << bits
    masks = np.array(list(product(range(count), repeat=2)), dtype=np.uint64)
    values = np.array(list(product(range(-count // 2, count // 2), repeat=2)), dtype=np.int64)
    mask = np.repeat(masks, len(values), axis=0)
    value = np.tile(values, (len(masks), 1))
    program = compiled(2, True, len(value), bits, 2, 2)
    got = output_of(rigged_sessions(program, {(0, "mask"): mask}), value.view(np.uint64) + mask)
    assert np.array_equal(got, np.maximum(value.max(axis=1), 0))


@pytest.mark.parametrize("count", [6, 9, 10, 16])
@pytest.mark.parametrize("floor", [False, True])
def test_many_candidates_multiply_their_bits_in_levels(count: int, floor: bool) -> None:
    rng = np.random.default_rng(count)
    values = rng.integers(-(2**30), 2**30, (5, count), dtype=np.int64)
    values[0] = -1 - np.arange(count)
    values[1] = 7
    program = compile_plan(largest_plan(count, floor), batch=5, parties=3, maxima=MaxForm.PAIRS)
    mask = rng.integers(0, 2**64, values.shape, dtype=np.uint64)
    got = output_of(rigged_sessions(program, {(0, "mask"): mask}), values.view(np.uint64) + mask)
    wanted = values.max(axis=1)
    assert np.array_equal(got, np.maximum(wanted, 0) if floor else wanted)


@pytest.mark.parametrize(("one", "other"), [(2**31 - 1, -(2**31)), (-(2**31), 2**31 - 1), (0, 0), (-1, 0)])
@pytest.mark.parametrize("mask", [0, 2**31, 2**32 - 1, 2**63, 2**64 - 1])
def test_extremes_of_the_default_width_keep(one: int, other: int, mask: int) -> None:
    program = compile_plan(largest_plan(3, False), batch=1, parties=2, maxima=MaxForm.PAIRS)
    masks = np.array([[mask, mask ^ 1, ~mask & (2**64 - 1)]], dtype=np.uint64)
    values = np.array([[one, other, one]], dtype=np.int64)
    got = output_of(rigged_sessions(program, {(0, "mask"): masks}), values.view(np.uint64) + masks)
    assert got.tolist() == [max(one, other)]
