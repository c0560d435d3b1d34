import numpy as np
import pytest

from gridward.core.plans.ops import Op
from gridward.core.plans.plan import Plan, Ref
from gridward.core.smpc.compile import compile_plan
from gridward.core.smpc.gate import PairMax, Relu
from gridward.core.smpc.kernels import cpu, reference
from gridward.core.smpc.kernels.seam import Kernels
from tests.support.parties import BATCH, plan_of, step
from tests.support.rigged import output_of, rigged_sessions

RELU = plan_of([step(Op.RELU, Ref("x"), out="y")], (BATCH,), {}, "y")


def pool_plan(rows: int, columns: int, kernel: tuple[int, ...]) -> Plan:
    pooled = step(
        Op.MAX_POOL2D_WITH_INDICES, Ref("x"), kernel, kernel, (0, 0), (1, 1), False, out=("y", "places")
    )
    return plan_of([pooled], (BATCH, 1, rows, columns), {}, "y")


@pytest.mark.parametrize("kernels", [cpu, reference], ids=["cpu", "reference"])
@pytest.mark.parametrize(
    ("bits", "parties", "levels"),
    [(2, 2, 1), (3, 2, 2), (5, 3, 2), (6, 4, 1), (7, 5, 2), (8, 2, 1), (9, 2, 1), (9, 2, 2), (9, 3, 2)],
)
def test_relu_is_right_for_every_value_under_every_mask(
    bits: int, parties: int, levels: int, kernels: Kernels
) -> None:
    count = 1 << bits
    value = np.arange(-count // 2, count // 2, dtype=np.int64).repeat(count)
    rng = np.random.default_rng(bits)
    above = rng.integers(0, 1 << (64 - bits), value.size, dtype=np.uint64) << np.uint64(bits)
    mask = above | np.tile(np.arange(count, dtype=np.uint64), count)
    program = compile_plan(
        RELU, batch=value.size, parties=parties, fraction_bits=1, width=bits, levels=levels
    )
    assert [gate.bits for gate in program.gates if isinstance(gate, Relu)] == [bits]
    sessions = rigged_sessions(program, {(0, "mask"): mask}, kernels)
    assert np.array_equal(output_of(sessions, value.view(np.uint64) + mask), np.maximum(value, 0))


@pytest.mark.parametrize(("parties", "levels"), [(2, 1), (3, 2)])
def test_the_larger_of_a_pair_is_right_for_every_pair_of_values(parties: int, levels: int) -> None:
    value = np.arange(-16, 16, dtype=np.int64)
    pairs = np.stack([value.repeat(32), np.tile(value, 32)], axis=-1)
    pairs = np.repeat(pairs, 8, axis=0)
    plan = pool_plan(1, 2, (1, 2))
    program = compile_plan(plan, batch=len(pairs), parties=parties, fraction_bits=1, width=5, levels=levels)
    assert [gate.bits for gate in program.gates if isinstance(gate, PairMax)] == [6]
    mask = np.random.default_rng(1).integers(0, 2**64, (len(pairs), 1, 1, 2), dtype=np.uint64)
    sessions = rigged_sessions(program, {(0, "mask"): mask})
    got = output_of(sessions, pairs.view(np.uint64).reshape(mask.shape) + mask)
    assert np.array_equal(got.reshape(-1), pairs.max(axis=-1))


@pytest.mark.parametrize("kernel", [(3, 3), (1, 3), (2, 2), (5, 1)])
def test_odd_numbers_of_candidates_lose_none(kernel: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    value = rng.integers(-(2**31), 2**31, (4, 1, 2 * kernel[0], 3 * kernel[1]), dtype=np.int64)
    plan = pool_plan(2 * kernel[0], 3 * kernel[1], kernel)
    program = compile_plan(plan, batch=4, parties=2)
    mask = rng.integers(0, 2**64, value.shape, dtype=np.uint64)
    got = output_of(rigged_sessions(program, {(0, "mask"): mask}), value.view(np.uint64) + mask)
    blocks = value.reshape(4, 1, 2, kernel[0], 3, kernel[1])
    assert np.array_equal(got, blocks.max(axis=(3, 5)))


@pytest.mark.parametrize("value", [2**31 - 1, -(2**31), 0, 1, -1])
@pytest.mark.parametrize("mask", [0, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1])
def test_relu_keeps_extremes_of_the_default_width(value: int, mask: int) -> None:
    program = compile_plan(RELU, batch=1, parties=2)
    masks = np.array([mask], dtype=np.uint64)
    masked = np.array([value], dtype=np.int64).view(np.uint64) + masks
    assert output_of(rigged_sessions(program, {(0, "mask"): masks}), masked).tolist() == [max(value, 0)]
