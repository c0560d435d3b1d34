"""The table of docs/encrypted.md against programs of one gate: what the page says is what is compiled."""

import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Final, get_args

import pytest

from gridward.core.plans.ops import Op
from gridward.core.plans.plan import Ref
from gridward.core.smpc import link, packets
from gridward.core.smpc.compile import compile_plan
from gridward.core.smpc.correlations import correction_bytes
from gridward.core.smpc.costs import openings
from gridward.core.smpc.gate import (
    Add,
    AddConstant,
    AddParameter,
    Concatenate,
    Convolution,
    Expand,
    Gate,
    Input,
    LookUp,
    Matmul,
    Multiply,
    MultiplyConstant,
    MultiplyMatrices,
    MultiplyParameter,
    Open,
    Output,
    PairMax,
    PairsMax,
    Permute,
    Pick,
    Piecewise,
    Relu,
    Scale,
    Slice,
    Square,
    Sum,
    SumPool,
    Truncate,
    TruncateFaithful,
    View,
    Windows,
)
from gridward.core.smpc.program import Form, Parameter, Program, Register
from tests.support.parties import BATCH, linear_plan, plan_of, step
from tests.support.programs import program_of, share, truncating, wire

PAGE: Final = Path(__file__).parents[4] / "docs" / "encrypted.md"
N: Final = 64
"""Elements: a multiple of 8, so that packed bits fill their bytes."""
WEIGHT: Final = Parameter("w", (N, N), 16, masked=True)
KERNEL: Final = Parameter("w", (1, 1, 1, 1), 16, masked=True)
TRUNCATED: Final = Register((N,), 16, Form.TRUNCATED, 16)
PAIRS: Final = (2, N)


def alone() -> Program:
    return program_of([], [wire((N,))])


def relu(levels: int, bits: int = 32) -> Program:
    return program_of([Relu((0,), 1, bits, levels)], [wire((N,)), share((N,))])


def relu_of_truncated(levels: int) -> Program:
    gates = [Truncate((0,), 1, 16), Relu((1,), 2, 32, levels)]
    return program_of(gates, [wire((N,), 32), TRUNCATED, share((N,))])


def pair_max(levels: int) -> Program:
    return program_of([PairMax((0,), 1, 33, levels)], [wire(PAIRS), share((1, N))])


def pair_max_of_truncated(levels: int) -> Program:
    truncated = Register(PAIRS, 16, Form.TRUNCATED, 16)
    gates = [Truncate((0,), 1, 16), PairMax((1,), 2, 33, levels)]
    return program_of(gates, [wire(PAIRS, 32), truncated, share((1, N))])


def product(gate: Gate, *, parameter: Parameter | None = None, shape: tuple[int, ...] = (1, N)) -> Program:
    held = [] if parameter is None else [parameter]
    return program_of([gate], [wire(shape), share(shape, 32)], parameters=held)


def largest(floor: bool) -> Program:
    gate = PairsMax((0,), 1, 33, 2, floor)
    return program_of([gate], [wire((4, N)), share((N,))])


def clamp() -> Program:
    """Bound by -1 and 1, at 16 fraction bits."""
    one = 1 << 16
    gate = Piecewise((0,), 1, (-one, one), (((-one, 0), (0, 1), (one, 0)),), 33, 2)
    return program_of([gate], [wire((N,)), share((1, N))])


def sigmoid() -> Program:
    plan = plan_of([step(Op.SIGMOID, Ref("x"), out="y")], (BATCH,), {}, "y")
    return compile_plan(plan, batch=N, parties=2)


def opened() -> Program:
    doubled = Register((N,), 16, Form.SHARE)
    return program_of([Open((0,), 1)], [doubled, wire((N,))])


ROWS: Final[dict[str, tuple[type, Callable[[], Program]]]] = {
    "input": (Input, alone),
    "output": (Output, alone),
    "matrix product with a weight": (
        Matmul,
        lambda: product(Matmul((0,), 1, 0, transposed=True), parameter=WEIGHT),
    ),
    "convolution with a weight": (
        Convolution,
        lambda: product(
            Convolution((0,), 1, 0, (1, 1), (0, 0), (1, 1), 1), parameter=KERNEL, shape=(1, 1, 1, N)
        ),
    ),
    "element product with a weight": (
        MultiplyParameter,
        lambda: product(MultiplyParameter((0,), 1, 0, (1, N)), parameter=Parameter("w", (1, N), 16, True)),
    ),
    "element product of two secrets": (Multiply, lambda: product(Multiply((0, 0), 1))),
    "square": (Square, lambda: product(Square((0,), 1))),
    "matrix product of two secrets": (
        MultiplyMatrices,
        lambda: product(MultiplyMatrices((0, 0), 1), shape=(8, 8)),
    ),
    "new mask (open)": (Open, opened),
    "truncation, f = 16": (Truncate, lambda: truncating((N,), 16, 2)),
    "faithful truncation, f = 16, 1 level": (
        TruncateFaithful,
        lambda: truncating((N,), 16, 2, levels=1),
    ),
    "faithful truncation, f = 16, 2 levels": (
        TruncateFaithful,
        lambda: truncating((N,), 16, 2, levels=2),
    ),
    "ReLU of a wire, w = 32, 1 level": (Relu, lambda: relu(1)),
    "ReLU of a wire, w = 32, 2 levels": (Relu, lambda: relu(2)),
    "ReLU of a wire, 20 bits, 1 level": (Relu, lambda: relu(1, 20)),
    "ReLU of a wire, 20 bits, 2 levels": (Relu, lambda: relu(2, 20)),
    "ReLU of a truncated value, w = 32, 1 level": (Relu, lambda: relu_of_truncated(1)),
    "ReLU of a truncated value, w = 32, 2 levels": (Relu, lambda: relu_of_truncated(2)),
    "largest of 4 wires by pairs, w = 32, 2 levels": (PairsMax, lambda: largest(False)),
    "largest of 4 wires and 0 by pairs, w = 32, 2 levels": (PairsMax, lambda: largest(True)),
    "bounds on both sides, w = 32, 2 levels": (Piecewise, clamp),
    "reading sigmoid's table, f = 16": (LookUp, sigmoid),
    "larger of a pair of wires, w = 32, 1 level": (PairMax, lambda: pair_max(1)),
    "larger of a pair of wires, w = 32, 2 levels": (PairMax, lambda: pair_max(2)),
    "larger of a pair of truncated values, w = 32, 1 level": (PairMax, lambda: pair_max_of_truncated(1)),
    "larger of a pair of truncated values, w = 32, 2 levels": (PairMax, lambda: pair_max_of_truncated(2)),
}


LOCAL: Final = {
    *(Add, AddConstant, AddParameter, MultiplyConstant, Scale, Sum, SumPool),
    *(Concatenate, Expand, Permute, Pick, Slice, View, Windows),
}
Costs = tuple[int, Fraction, Fraction]
"""Rounds, bits to each peer and dealer's bytes, for one element of what a gate makes."""


def costs_of(name: str) -> Costs:
    """Compile and count."""
    kind, make = ROWS[name]
    program = make()
    (at,) = [at for at, gate in enumerate(program.gates) if isinstance(gate, kind)]
    rounds = openings(program.gates[at], program.registers)
    corrections = correction_bytes([slot for slot in program.manifest if slot.gate == at])
    return len(rounds), Fraction(8 * sum(rounds), N), Fraction(corrections, N)


def table() -> dict[str, Costs]:
    """Read the page's table of costs."""
    text = PAGE.read_text().split("## Costs")[1].split("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"
    ]
    return {cells[0]: (int(cells[1]), Fraction(cells[2]), Fraction(cells[3])) for cells in rows[2:]}


def test_every_row_of_the_page_is_what_a_program_of_that_gate_states() -> None:
    assert table() == {name: costs_of(name) for name in ROWS}


def test_every_gate_that_opens_or_is_dealt_for_stands_in_the_table() -> None:
    told = {kind for kind, _ in ROWS.values()}
    silent = {gate for gate in get_args(Gate) if gate not in told}
    assert silent == LOCAL


@pytest.mark.parametrize("parties", [2, 3, 5])
def test_headers_are_as_long_as_the_page_says(parties: int) -> None:
    page = PAGE.read_text()
    assert f"header of {packets.HEADER_BYTES} bytes" in page
    assert f"has {link.HEADER_BYTES} bytes before its payload" in page
    program = truncating((N,), 16, parties)
    payload = 8 * N
    assert program.costs.online_bytes_per_party == (parties - 1) * (payload + link.HEADER_BYTES)
    assert program.costs.dealer_bytes == packets.HEADER_BYTES * parties + 18 * N


def test_the_pages_defaults_are_those_of_the_compiler() -> None:
    program = compile_plan(linear_plan(1, 1), batch=1, parties=2)
    assert (program.fraction_bits, program.width) == (16, 32)


def test_every_test_that_the_page_names_is_there() -> None:
    page = PAGE.read_text()
    named = set(re.findall(r"`(test_[a-z0-9_]+)`", page[page.index("## What shows it") :]))
    written = {
        name
        for path in (PAGE.parents[1] / "tests").rglob("*.py")
        for name in re.findall(r"def (test_\w+)\(", path.read_text())
    }
    assert len(named) > 30
    assert named <= written
