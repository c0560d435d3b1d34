"""Products of values, of values with parameters, and what moves and sums around them."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gridward.core.plans.ops import Op
from gridward.core.plans.plan import Ref
from gridward.core.smpc.compile import compile_plan
from gridward.core.smpc.gate import Input, Open, Output, Square, TruncateFaithful
from tests.support.encrypted import drawn, run_function, run_module
from tests.support.parties import BATCH, plan_of, step
from tests.support.rigged import output_of, rigged_sessions

CONSTANT = torch.tensor([0.5, -3.0, 0.3, 1.25])


def attention(x: Tensor) -> Tensor:
    return (x @ x.transpose(1, 2) / 2.0) @ x


FUNCTIONS: dict[str, tuple[Callable[[Tensor], Tensor], tuple[int, ...]]] = {
    "product": (lambda x: x[:, 0] * x[:, 1], (3, 2, 4)),
    "broadcast product": (lambda x: x * x[:, :, :1], (2, 3, 4)),
    "square": (lambda x: x * x, (3, 4)),
    "power of two": (lambda x: x**2, (3, 4)),
    "power of three": (lambda x: x**3, (3, 4)),
    "power of four": (lambda x: x**4, (3, 4)),
    "attention": (attention, (2, 5, 4)),
    "matrices": (lambda x: torch.bmm(x, x.transpose(1, 2)), (3, 2, 4)),
    "public constant": (lambda x: x * CONSTANT.to(x.dtype), (3, 4)),
    "quotient by a constant": (lambda x: x / CONSTANT.to(x.dtype), (3, 4)),
    "sum over one axis": (lambda x: x.sum(dim=1), (2, 3, 4)),
    "sum over two axes": (lambda x: x.sum(dim=(1, 3), keepdim=True), (2, 3, 4, 2)),
    "mean over rows of odd length": (lambda x: x.mean(dim=-1, keepdim=True), (2, 3, 5)),
    "mean over channels": (lambda x: x.mean(dim=1), (2, 4, 3)),
    "variance": (lambda x: ((x - x.mean(-1, keepdim=True)) ** 2).mean(-1), (2, 3, 4)),
    "expansion": (lambda x: x[:, :1].expand(-1, 3, -1) * x, (2, 3, 4)),
    "slices with a step": (lambda x: x[:, 1::2] - x[:, ::2], (2, 6)),
    "places from the end": (lambda x: x[:, -1] + x[:, -3:-1].sum(1), (2, 5, 3)),
    "one behind another": (lambda x: torch.cat([x, x[:, :1] * 0.3, x.relu()], dim=1), (2, 3, 4)),
    "concatenated wires": (lambda x: torch.cat([x, x[:, :1]], dim=1).relu(), (2, 3)),
    "split and turned": (lambda x: torch.cat([x[..., 2:], x[..., :2]], -1).permute(0, 2, 1), (2, 3, 4)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("parties", [2, 3])
def test_functions_of_values_are_those_of_torch(name: str, parties: int) -> None:
    function, shape = FUNCTIONS[name]
    run_function(function, drawn(*shape), 64, parties=parties)


@pytest.mark.parametrize(("parties", "levels"), [(4, 1), (5, 2)])
def test_more_parties_multiply_alike(parties: int, levels: int) -> None:
    run_function(attention, drawn(2, 3, 4), 64, parties=parties, levels=levels)


class Gains(nn.Module):
    """A gain and an offset a channel, on images; a linear layer on sequences."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(drawn(3, 1, 1, seed=2).float())
        self.offset = nn.Parameter(drawn(3, 1, 1, seed=3).float())
        self.last = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(x * self.gain + self.offset))


@pytest.mark.parametrize("parties", [2, 3])
def test_a_parameter_multiplies_channels_and_a_layer_takes_sequences(parties: int) -> None:
    run_module(Gains(), drawn(2, 3, 5, 4), 16, parties=parties)


def test_products_of_wires_open_nothing() -> None:
    steps = [step(Op.MUL_TENSOR, Ref("x"), Ref("x"), out="y")]
    program = compile_plan(plan_of(steps, (BATCH, 4), {}, "y"), batch=1, parties=2)
    assert [type(gate) for gate in program.gates] == [Input, Square, TruncateFaithful, Output]
    # the faithful truncation is all that opens: once, at two levels, and the borrow
    assert program.costs.rounds == 4


def test_a_value_in_several_products_is_opened_once() -> None:
    steps = [
        step(Op.MUL_SCALAR, Ref("x"), 1.5, out="h"),
        step(Op.PERMUTE, Ref("h"), (1, 0), out="t"),
        step(Op.MM, Ref("h"), Ref("t"), out="a"),
        step(Op.MUL_TENSOR, Ref("h"), Ref("x"), out="b"),
        step(Op.MUL_TENSOR, Ref("h"), Ref("h"), out="c"),
        step(Op.SUM_DIM_INTLIST, Ref("a"), (1,), True, None, out="d"),
        step(Op.ADD_TENSOR, Ref("b"), Ref("c"), 1, out="e"),
        step(Op.ADD_TENSOR, Ref("d"), Ref("e"), 1, out="y"),
    ]
    program = compile_plan(plan_of(steps, (BATCH, 4), {}, "y"), batch=3, parties=2)
    kinds = {type(gate).__name__ for gate in program.gates}
    assert sorted({"Multiply", "MultiplyMatrices", "Square"} & kinds) == [
        "Multiply",
        "MultiplyMatrices",
        "Square",
    ]
    # its transpose is the same value before a permutation, and is opened as one of its own
    assert sum(isinstance(gate, Open) for gate in program.gates) == 2


@pytest.mark.parametrize("parties", [2, 3, 4, 5])
def test_products_are_right_for_every_pair_of_values_under_random_masks(parties: int) -> None:
    value = np.arange(-16, 16, dtype=np.int64)
    pairs = np.stack([value.repeat(32), np.tile(value, 32)], axis=-1)
    steps = [
        step(Op.SELECT_INT, Ref("x"), 1, 0, out="a"),
        step(Op.SELECT_INT, Ref("x"), 1, 1, out="b"),
        step(Op.MUL_TENSOR, Ref("a"), Ref("b"), out="y"),
    ]
    plan = plan_of(steps, (BATCH, 2), {}, "y")
    program = compile_plan(plan, batch=len(pairs), parties=parties, fraction_bits=1, width=20)
    mask = np.random.default_rng(parties).integers(0, 2**64, pairs.shape, dtype=np.uint64)
    got = output_of(rigged_sessions(program, {(0, "mask"): mask}), pairs.view(np.uint64) + mask)
    assert np.array_equal(got, pairs.prod(axis=-1) >> 1)


@pytest.mark.parametrize("value", [2**30 - 1, -(2**30), 0, 1, -1])
def test_squares_wrap_nowhere_within_the_width(value: int) -> None:
    steps = [step(Op.POW_TENSOR_SCALAR, Ref("x"), 2, out="y")]
    program = compile_plan(plan_of(steps, (BATCH,), {}, "y"), batch=1, parties=2, fraction_bits=16, width=46)
    mask = np.array([2**64 - 1], dtype=np.uint64)
    masked = np.array([value], dtype=np.int64).view(np.uint64) + mask
    assert output_of(rigged_sessions(program, {(0, "mask"): mask}), masked).tolist() == [value**2 >> 16]
