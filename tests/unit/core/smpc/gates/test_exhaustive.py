"""Every value under every mask, on rings small enough, through dealer, link and gates as they run.

A ring of k bits lies in the ring of 64 as the multiples of 2^(64 - k): sums wrap around at the same places,
so the gates that are used are tried on every pair, and not a copy of them with another modulus.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridward.core.plans.ops import Op
from gridward.core.plans.plan import Ref
from gridward.core.smpc.compile import compile_plan
from gridward.core.smpc.gate import Relu
from gridward.core.smpc.program import Program
from gridward.core.smpc.ring import RingArray
from tests.support.parties import BATCH, plan_of, step
from tests.support.programs import truncating
from tests.support.rigged import output_of, rigged_sessions

RELU = plan_of([step(Op.RELU, Ref("x"), out="y")], (BATCH,), {}, "y")
SHIFT = 3
REACH = 2**62


def run(program: Program, y: RingArray, mask: RingArray) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Truncate ``y`` under the mask R = ``mask``; the input's own mask is of no account."""
    first = np.random.default_rng(1).integers(0, 2**64, y.shape, dtype=np.uint64)
    return output_of(rigged_sessions(program, {(0, "mask"): first, (1, "mask"): mask}), y + first)


@pytest.mark.parametrize("parties", [2, 3, 4, 5])
@pytest.mark.parametrize("ring_bits", [8, 9, 10, 11])
def test_every_value_under_every_mask_truncates_to_the_floor_or_one_above_as_the_coin_says(
    ring_bits: int, parties: int
) -> None:
    above, modulus, reach = 64 - ring_bits, 1 << ring_bits, 1 << (ring_bits - 2)
    y = np.arange(-reach + 1, reach, dtype=np.int64).repeat(modulus)
    r = np.tile(np.arange(modulus, dtype=np.int64), 2 * reach - 1)
    lift = np.uint64(above)
    program = truncating(y.shape, above + SHIFT, parties)
    got = run(program, y.view(np.uint64) << lift, r.view(np.uint64) << lift)
    low = (1 << SHIFT) - 1
    coin = ((y + r) & low) < (r & low)
    assert np.array_equal(got, (y >> SHIFT) + coin)


@pytest.mark.parametrize("parties", [2, 3, 4, 5])
@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("bits", range(1, 9))
def test_every_public_number_compares_with_every_shared_one(bits: int, levels: int, parties: int) -> None:
    # a ReLU of bits + 1 compares P and rho on `bits` bits; every value under every mask meets every pair
    count = 2 << bits
    value = np.arange(-count // 2, count // 2, dtype=np.int64).repeat(count)
    mask = np.tile(np.arange(count, dtype=np.uint64), count)
    program = compile_plan(
        RELU, batch=value.size, parties=parties, fraction_bits=1, width=bits + 1, levels=levels
    )
    assert [gate.bits for gate in program.gates if isinstance(gate, Relu)] == [bits + 1]
    sessions = rigged_sessions(program, {(0, "mask"): mask})
    assert np.array_equal(output_of(sessions, value.view(np.uint64) + mask), np.maximum(value, 0))


@pytest.mark.parametrize("parties", [2, 3, 4, 5])
@pytest.mark.parametrize("levels", [None, 1, 2])
@pytest.mark.parametrize("shift", [1, 12, 16, 30])
def test_extremes_truncate_at_every_point_where_a_mask_wraps(
    shift: int, levels: int | None, parties: int
) -> None:
    values = [REACH - 1, 1 - REACH, 0, -1, 1, (1 << shift) - 1, -(1 << shift)]
    masks = [0, 1, 2**62, 2**63 - 1, 2**63, 2**63 + 1, 3 * 2**62, 2**64 - 1, (1 << shift) - 1, 1 << shift]
    y = np.array(values, dtype=np.int64).repeat(len(masks))
    r = np.array(masks * len(values), dtype=np.uint64)
    got = run(truncating(y.shape, shift, parties, levels=levels), y.view(np.uint64), r)
    low = (1 << shift) - 1
    coin = np.array([(int(v) + int(m)) & low < int(m) & low for v, m in zip(y, r, strict=True)])
    assert np.array_equal(got, (y >> shift) + (coin if levels is None else 0))


@settings(max_examples=60)
@given(
    st.integers(1 - REACH, REACH - 1),
    st.integers(0, 2**64 - 1),
    st.integers(1, 40),
    st.sampled_from([2, 3, 5]),
    st.booleans(),
)
def test_a_truncation_is_less_than_one_unit_from_the_exact_quotient(
    y: int, r: int, shift: int, parties: int, faithful: bool
) -> None:
    program = truncating((1,), shift, parties, levels=2 if faithful else None)
    (got,) = run(program, np.array([y % 2**64], dtype=np.uint64), np.array([r], dtype=np.uint64))
    error = int(got) * (1 << shift) - y  # in units of 2^-shift: exact integers
    assert -(1 << shift) < error <= (0 if faithful else (1 << shift) - 1)
