import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridward.core.plans.ops import Op
from gridward.core.plans.plan import Constant, DType, Ref
from gridward.core.smpc.compile import compile_plan
from gridward.core.smpc.gate import Relu, Truncate, TruncateFaithful
from gridward.core.smpc.program import Program
from tests.support.parties import BATCH, plan_of, step
from tests.support.rigged import output_of, rigged_sessions

# three halves of x: the product has twice the fraction bits and is revealed, so its truncation is faithful
SCALED = plan_of([step(Op.MUL_SCALAR, Ref("x"), 1.5, out="y")], (BATCH,), {}, "y")


def faithful_gate(program: Program) -> int:
    (at,) = [at for at, gate in enumerate(program.gates) if isinstance(gate, TruncateFaithful)]
    return at


@pytest.mark.parametrize(
    ("bits", "parties", "levels"), [(4, 2, 1), (5, 3, 2), (6, 2, 1), (8, 2, 2), (8, 5, 1), (9, 2, 2)]
)
def test_the_faithful_floor_is_right_for_every_pair_of_low_bits(bits: int, parties: int, levels: int) -> None:
    count = 1 << bits
    rng = np.random.default_rng(bits)
    low = np.arange(count, dtype=np.int64).repeat(count)
    upper = rng.integers(-(2**10), 2**10, low.size) << bits
    # y = 3 * 2^(bits - 1) * x: only multiples occur, so the public constant makes the other low bits
    program = compile_plan(
        plan_of(
            [
                step(Op.MUL_SCALAR, Ref("x"), 1.5, out="h"),
                step(Op.ADD_TENSOR, Ref("h"), Ref("offset"), 1, out="y"),
            ],
            (BATCH,),
            {},
            "y",
            constants=(constant("offset", low * 2.0 ** (-2 * bits)),),
        ),
        batch=low.size,
        parties=parties,
        fraction_bits=bits,
        width=bits + 20,
        levels=levels,
    )
    x = upper >> bits
    y = x * 3 * (1 << (bits - 1)) + low
    mask = rng.integers(0, 2**64, low.size, dtype=np.uint64)
    mask = (mask >> np.uint64(bits) << np.uint64(bits)) | np.tile(np.arange(count, dtype=np.uint64), count)
    first = rng.integers(0, 2**64, low.size, dtype=np.uint64)
    sessions = rigged_sessions(program, {(0, "mask"): first, (faithful_gate(program), "mask"): mask})
    assert np.array_equal(output_of(sessions, x.view(np.uint64) + first), y >> bits)


def constant(name: str, values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Constant:
    return Constant(name, DType.FLOAT64, values.shape, values.astype("<f8").tobytes())


@settings(max_examples=50)
@given(st.integers(-(2**28), 2**28), st.integers(0, 2**64 - 1), st.sampled_from([2, 3, 4, 5]))
def test_the_faithful_floor_does_not_depend_on_the_mask(x: int, mask: int, parties: int) -> None:
    program = compile_plan(SCALED, batch=1, parties=parties)
    masks = np.array([mask], dtype=np.uint64)
    sessions = rigged_sessions(program, {(faithful_gate(program), "mask"): masks, (0, "mask"): masks})
    masked = np.array([x], dtype=np.int64).view(np.uint64) + masks
    assert output_of(sessions, masked).tolist() == [x * 3 // 2]


def test_only_roundings_that_show_are_faithful() -> None:
    # behind a product nothing shows, before the output every rounding does, through ReLU too
    shapes = {"w": (3, 3)}
    steps = [
        step(Op.MM, Ref("x"), Ref("w"), out="a"),
        step(Op.RELU, Ref("a"), out="b"),
        step(Op.MM, Ref("b"), Ref("w"), out="c"),
        step(Op.RELU, Ref("c"), out="d"),
    ]
    program = compile_plan(plan_of(steps, (BATCH, 3), shapes, "d"), batch=1, parties=2)
    kinds = [type(gate) for gate in program.gates if isinstance(gate, (Truncate, TruncateFaithful, Relu))]
    assert kinds == [Truncate, Relu, TruncateFaithful, Relu]
