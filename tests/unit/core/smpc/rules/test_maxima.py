"""Maxima in both forms, and the values that bounds replace: equal to torch, reference and stated costs."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gridward.core.plans.ops import Op
from gridward.core.plans.plan import Ref
from gridward.core.smpc.compile import compile_plan
from gridward.core.smpc.gate import Open, PairMax, PairsMax, Relu
from gridward.core.smpc.lowering import MaxForm
from gridward.core.smpc.program import Program
from tests.support.encrypted import drawn, run_function, run_module
from tests.support.parties import BATCH, plan_of, step

functional = nn.functional

FUNCTIONS: dict[str, tuple[Callable[[Tensor], Tensor], tuple[int, ...]]] = {
    "pool": (lambda x: functional.max_pool2d(x, 2), (2, 2, 4, 6)),
    "pool behind relu": (lambda x: functional.max_pool2d(torch.relu(x), 2), (2, 2, 4, 6)),
    "pool before relu": (lambda x: torch.relu(functional.max_pool2d(x, 2)), (2, 2, 4, 6)),
    "pool with overlap": (lambda x: functional.max_pool2d(torch.relu(x * 0.75), 3, 2, 1), (1, 2, 5, 6)),
    "pool of truncated values": (lambda x: functional.max_pool2d(x * 0.3, 2), (1, 2, 4, 4)),
    "largest over an axis": (lambda x: x.amax(-1), (2, 3, 5)),
    "largest over two axes": (lambda x: (x * 0.3).amax((1, 3), keepdim=True), (2, 2, 3, 2)),
    "least over an axis": (lambda x: x.amin(1), (2, 4, 3)),
}

BOUNDS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu6": lambda x: functional.relu6(x * 3.0),
    "hardtanh": lambda x: functional.hardtanh(x),
    "clamp from below": lambda x: x.clamp(min=-0.5),
    "clamp from above": lambda x: (x * 0.3).clamp(max=0.25),
    "clamp between": lambda x: (x * 0.3).clamp(0.125, 0.25),
    "leaky relu": lambda x: functional.leaky_relu(x, 0.125),
    "leaky relu of a small slope": lambda x: functional.leaky_relu(x * 1.5),
    "absolute": lambda x: (x * 0.3).abs(),
    "maximum": lambda x: torch.maximum(x[:, :2], x[:, 2:]),
    "minimum with a constant": lambda x: torch.minimum(x, torch.tensor([0.5, -0.5, 0.0, 1.0])),
    "relu twice": lambda x: torch.relu(torch.relu(x) - 0.5),
}


@pytest.mark.parametrize("form", [MaxForm.TREE, MaxForm.PAIRS])
@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(("parties", "levels"), [(2, 2), (3, 1)])
def test_maxima_are_those_of_torch(name: str, form: MaxForm, parties: int, levels: int) -> None:
    function, shape = FUNCTIONS[name]
    run_function(function, drawn(*shape), 2, parties=parties, levels=levels, maxima=form)


@pytest.mark.parametrize("name", BOUNDS)
@pytest.mark.parametrize("parties", [2, 3])
def test_values_between_bounds_are_those_of_torch(name: str, parties: int) -> None:
    # a slope of 0.01 is 0.0100021 at 16 fraction bits
    run_function(BOUNDS[name], drawn(5, 4, spread=2.0), 12, parties=parties)


class Pooling(nn.Module):
    """Convolution, pool, ReLU, layer: the order that many networks have."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 2, 3)
        self.last = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(functional.max_pool2d(self.first(x), 2)).flatten(1))


@pytest.mark.parametrize(("form", "rounds"), [(MaxForm.TREE, 17), (MaxForm.PAIRS, 10)])
def test_pairs_take_six_rounds_where_a_tree_takes_thirteen(form: MaxForm, rounds: int) -> None:
    torch.manual_seed(3)
    program = run_module(Pooling(), drawn(2, 1, 6, 6), 16, maxima=form)
    # four of them are the faithful truncation of the answer
    assert program.costs.rounds == rounds
    kinds = {type(gate) for gate in program.gates} & {PairMax, PairsMax, Relu}
    assert kinds == ({PairMax, Relu} if form is MaxForm.TREE else {PairsMax})


def pooled(rows: int) -> Program:
    pool = step(
        Op.MAX_POOL2D_WITH_INDICES, Ref("x"), (2, 2), (2, 2), (0, 0), (1, 1), False, out=("y", "places")
    )
    return compile_plan(plan_of([pool], (BATCH, 1, 2 * rows, 128), {}, "y"), batch=1, parties=2)


def test_the_fitting_form_depends_on_how_many_maxima_there_are() -> None:
    assert any(isinstance(gate, PairsMax) for gate in pooled(64).gates)
    assert not any(isinstance(gate, PairsMax) for gate in pooled(65).gates)


def test_both_bounds_of_a_clamp_share_one_opening_and_their_rounds() -> None:
    steps = [
        step(Op.MUL_SCALAR, Ref("x"), 1.5, out="h"),
        step(Op.HARDTANH, Ref("h"), 0.0, 6.0, out="c"),
        step(Op.MM, Ref("c"), Ref("w"), out="y"),
    ]
    program = compile_plan(plan_of(steps, (BATCH, 3), {"w": (3, 3)}, "y"), batch=1, parties=2)
    assert sorted(gate.bits for gate in program.gates if isinstance(gate, Relu)) == [32, 33]
    # truncation, two levels and the choice, the opening for the product; four rounds end the answer
    assert program.costs.rounds == 1 + 3 + 1 + 4
    assert sum(isinstance(gate, Open) for gate in program.gates) == 1


def test_a_constant_taken_from_the_query_leaves_it_masked() -> None:
    steps = [step(Op.SUB_SCALAR, Ref("x"), 0.5, 1, out="h"), step(Op.MM, Ref("h"), Ref("w"), out="y")]
    program = compile_plan(plan_of(steps, (BATCH, 3), {"w": (3, 3)}, "y"), batch=1, parties=2)
    assert not any(isinstance(gate, Open) for gate in program.gates)


def test_one_maximum_of_one_candidate_is_free() -> None:
    program = compile_plan(
        plan_of([step(Op.AMAX, Ref("x"), (1,), False, out="y")], (BATCH, 1), {}, "y"), batch=3, parties=2
    )
    assert program.costs.rounds == 0
    assert np.prod(program.output.shape) == 3
