"""Bounds hold for every input, every parameter and every mask; a wrong rule for one gate is noticed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn

from gridward.core.errors import OutOfRangeError
from gridward.core.plans.ops import Op
from gridward.core.plans.plan import Plan, Ref, Step
from gridward.core.plans.trace import trace_module
from gridward.core.smpc import intervals
from gridward.core.smpc.compile import compile_plan
from gridward.core.smpc.fixed_reference import registers_of
from gridward.core.smpc.gate import Gate, LookUp, Matmul, Relu, Truncate
from gridward.core.smpc.intervals import Interval, bounds, hull
from gridward.core.smpc.lowering import MaxForm
from gridward.core.smpc.program import Program
from gridward.core.smpc.ring import RingArray, signed
from tests.support.parties import BATCH, linear_steps, plan_of, step

NETWORK = nn.Sequential(
    *(nn.Conv2d(2, 4, 3, padding=1, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)),
    *(nn.Conv2d(4, 3, 2, 2), nn.AvgPool2d(2, 1, 1), nn.Flatten(), nn.Linear(27, 2), nn.Softmax(1)),
).eval()


@cache
def images() -> Plan:
    """A padded convolution of groups, both kinds of pools, a linear layer and a softmax."""
    return trace_module(NETWORK, (torch.zeros(2, 2, 8, 8),), name="images").plan


Reals = NDArray[np.float64]
SIZE = 4


def linear(source: str, out: str) -> list[Step]:
    return linear_steps(source, f"{out}.layer", out)


STEPS: dict[str, Callable[[str, str], list[Step]]] = {
    "linear": linear,
    "relu": lambda x, y: [step(Op.RELU, Ref(x), out=y)],
    "sigmoid": lambda x, y: [step(Op.SIGMOID, Ref(x), out=y)],
    "tanh": lambda x, y: [step(Op.TANH, Ref(x), out=y)],
    "gelu": lambda x, y: [step(Op.GELU, Ref(x), out=y)],
    "absolute": lambda x, y: [step(Op.ABS, Ref(x), out=y)],
    "bounded": lambda x, y: [step(Op.HARDTANH, Ref(x), -0.5, 0.75, out=y)],
    "negative": lambda x, y: [step(Op.NEG, Ref(x), out=y)],
    "scaled": lambda x, y: [step(Op.MUL_SCALAR, Ref(x), -0.3, out=y)],
    "moved": lambda x, y: [step(Op.ADD_SCALAR, Ref(x), 1.5, 1, out=y)],
    "squared": lambda x, y: [step(Op.POW_TENSOR_SCALAR, Ref(x), 2, out=y)],
    "doubled": lambda x, y: [step(Op.ADD_TENSOR, Ref(x), Ref(x), 1, out=y)],
    "softmax": lambda x, y: [step(Op.SOFTMAX, Ref(x), 1, False, out=y)],
    "less the largest": lambda x, y: [
        step(Op.AMAX, Ref(x), (1,), True, out=f"{y}.most"),
        step(Op.SUB_TENSOR, Ref(x), Ref(f"{y}.most"), 1, out=y),
    ],
    "less the mean": lambda x, y: [
        step(Op.MEAN_DIM, Ref(x), (1,), True, out=f"{y}.mean"),
        step(Op.SUB_TENSOR, Ref(x), Ref(f"{y}.mean"), 1, out=y),
    ],
    "inverse": lambda x, y: [step(Op.RECIPROCAL, Ref(x), out=y)],
    "exp": lambda x, y: [step(Op.EXP, Ref(x), out=y)],
}


def plan_with(names: list[str]) -> Plan:
    """Put steps one after another, on rows of SIZE values."""
    steps, source = [], "x"
    for at, name in enumerate(names):
        steps += STEPS[name](source, f"v{at}")
        source = f"v{at}"
    shapes = {
        name: shape
        for at, kind in enumerate(names)
        if kind == "linear"
        for name, shape in ((f"v{at}.layer.weight", (SIZE, SIZE)), (f"v{at}.layer.bias", (SIZE,)))
    }
    return plan_of(steps, (BATCH, SIZE), shapes, source)


def coins(program: Program, rng: np.random.Generator) -> dict[int, RingArray]:
    """Draw the masks of gates with a public coin."""
    return {
        at: rng.integers(0, 2**64, program.registers[gate.sources[0]].shape, dtype=np.uint64)
        for at, gate in enumerate(program.gates)
        if isinstance(gate, Truncate) or (isinstance(gate, LookUp) and len(gate.sources) == 1)
    }


def beyond(
    program: Program, found: tuple[Interval, ...], registers: Mapping[int, RingArray]
) -> list[tuple[str, Interval, int, int]]:
    """List the values that lie outside their bounds."""
    ends = {at: (int(signed(words).min()), int(signed(words).max())) for at, words in registers.items()}
    return [
        (type(gate).__name__, found[gate.out], *ends[gate.out])
        for gate in program.gates
        if not found[gate.out].low <= ends[gate.out][0] <= ends[gate.out][1] <= found[gate.out].high
    ]


@dataclass(frozen=True)
class Drawn:
    """A random program with its parameters, a range, and rows within it."""

    program: Program
    parameters: dict[str, Reals]
    rows: Reals
    rng: np.random.Generator


@st.composite
def drawn(draw: st.DrawFn) -> Drawn:
    names = draw(st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=4))
    low = draw(st.floats(-4, 4).map(lambda value: round(value, 3)))
    high = low + draw(st.sampled_from([0.0, 0.01, 1.0, 6.0]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    program = compile_plan(
        plan_with(names),
        batch=3,
        parties=2,
        maxima=draw(st.sampled_from(MaxForm)),
        input_range=(low, high),
    )
    spread = draw(st.sampled_from([0.1, 1.0]))
    parameters = {item.name: rng.normal(0, spread, item.shape) for item in program.parameters}
    rows = rng.uniform(low, high, (3, SIZE))
    rows[0], rows[1] = low, high  # where bounds are met
    return Drawn(program, parameters, rows, rng)


@settings(max_examples=150, deadline=None)
@given(drawn(), st.booleans())
def test_no_value_of_a_random_program_leaves_its_bounds(case: Drawn, with_parameters: bool) -> None:
    masks = coins(case.program, case.rng)
    try:
        registers = registers_of(case.program, case.parameters, case.rows, masks)
    except OutOfRangeError:
        assume(False)  # the program itself is wrong there
    found = bounds(case.program, case.parameters if with_parameters else None)
    assert not beyond(case.program, found, registers)


def met(names: list[str], found: Callable[[Program, Mapping[str, Reals]], tuple[Interval, ...]]) -> set[str]:
    """Name the kinds of gates whose values leave their bounds, over rows that meet them."""
    program = compile_plan(plan_with(names), batch=64, parties=2, input_range=(-2.0, 2.0))
    # one weight a row of the matrix, so that inputs at the ends meet the bounds of a product
    one = np.eye(SIZE) * np.array([1.0, -1.0, 0.5, 2.0])
    parameters = {
        item.name: one if len(item.shape) == 2 else np.full(item.shape, 0.25) for item in program.parameters
    }
    grid = np.linspace(-2.0, 2.0, 64)
    rows = np.stack([grid, -grid, grid, -grid], axis=1)
    rows[0], rows[1] = 2.0, -2.0
    kinds: set[str] = set()
    for seed in range(4):
        registers = registers_of(program, parameters, rows, coins(program, np.random.default_rng(seed)))
        kinds |= {kind for kind, *_ in beyond(program, found(program, parameters), registers)}
    return kinds


LAYERS = ["linear", "relu", "linear"]
MEETING = {
    "Matmul": LAYERS,
    "AddParameter": LAYERS,
    "Relu": LAYERS,
    "Truncate": LAYERS,
    "TruncateFaithful": ["scaled"],
    "Scale": ["scaled"],
    "Piecewise": ["sigmoid"],
    "Sum": ["less the mean"],
    "Square": ["squared"],
    "Add": ["doubled"],
    "AddConstant": ["moved"],
    "Output": ["doubled"],
}
"""Steps whose inputs at the ends of the range meet the bounds of a kind of gate."""


@pytest.mark.parametrize("kind", MEETING)
def test_a_rule_that_gives_less_than_it_should_is_noticed(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    names = MEETING[kind]
    assert not met(names, bounds)
    whole = intervals._Bounds.of

    def planted(self: intervals._Bounds, gate: Gate) -> Interval:
        made = whole(self, gate)
        if type(gate).__name__ != kind:
            return made
        return Interval(made.low, made.high - 1 - (made.high - made.low) // 4)

    monkeypatch.setattr(intervals._Bounds, "of", planted)
    assert kind in met(names, bounds)


def test_a_truncation_whose_coin_is_forgotten_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = intervals._Bounds.of

    def planted(self: intervals._Bounds, gate: Gate) -> Interval:
        made = whole(self, gate)
        return Interval(made.low, made.high - 1) if isinstance(gate, Truncate) else made

    names = ["moved", "scaled", "relu", "linear"]
    assert not met(names, bounds)
    monkeypatch.setattr(intervals._Bounds, "of", planted)
    assert "Truncate" in met(names, bounds)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32), st.booleans(), st.floats(-2, 0), st.floats(0, 2))
def test_no_value_of_an_image_network_leaves_its_bounds(
    seed: int, with_parameters: bool, low: float, high: float
) -> None:
    rng = np.random.default_rng(seed)
    program = compile_plan(images(), batch=2, parties=2, input_range=(low, high))
    parameters = {item.name: rng.normal(0, 0.4, item.shape) for item in program.parameters}
    rows = rng.choice([low, high, (low + high) / 2], program.input.shape)
    registers = registers_of(program, parameters, rows, coins(program, rng))
    assert not beyond(program, bounds(program, parameters if with_parameters else None), registers)


def test_what_a_range_says_without_parameters_is_kept_through_bounded_functions() -> None:
    program = compile_plan(plan_with(["linear", "sigmoid", "relu"]), batch=1, parties=2)
    found = bounds(program)
    relu = next(gate for gate in program.gates if isinstance(gate, Relu))
    assert found[relu.out].low == 0
    assert abs(found[relu.out].high - (1 << 16)) < 64


def test_rows_of_positive_weights_are_bounded_by_their_sums() -> None:
    program = compile_plan(plan_with(["linear"]), batch=1, parties=2, input_range=(0.0, 1.0))
    parameters = {
        "v0.layer.weight": np.tile([[1.0, 2.0, -3.0, 0.5]], (SIZE, 1)),
        "v0.layer.bias": np.zeros(SIZE),
    }
    (matmul,) = [gate for gate in program.gates if isinstance(gate, Matmul)]
    assert bounds(program, parameters)[matmul.out] == Interval(-3 << 32, 7 << 31)


@given(st.lists(st.integers(-(2**70), 2**70), min_size=1, max_size=5))
def test_the_bits_of_an_interval_hold_its_ends_and_one_less_does_not(ends: list[int]) -> None:
    whole = hull([Interval(end, end) for end in ends])
    reach = 1 << (whole.bits - 1)
    assert -reach <= whole.low <= whole.high < reach
    assert whole.bits == 1 or not (-reach // 2 <= whole.low and whole.high < reach // 2)
