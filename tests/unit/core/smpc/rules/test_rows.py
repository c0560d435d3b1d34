"""Softmax, its logarithm, and layer norm."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gridward.core.errors import OutOfRangeError, PlanRejectedError, RangeViolationError
from gridward.core.plans.trace import trace_function
from gridward.core.smpc.compile import compile_plan
from gridward.core.smpc.fixed_reference import evaluate
from gridward.core.smpc.lowering import MaxForm
from tests.support.curves import END, ULP, run_behind
from tests.support.encrypted import assert_kept, drawn
from tests.support.parties import ask, deployed

SOFTMAX = 7e-5
LOG_SOFTMAX = 1.1e-4


def over(axis: int) -> Callable[[Tensor], Tensor]:
    return lambda x: torch.softmax(x, axis)


def error(function: Callable[[Tensor], Tensor], x: Tensor, shows: bool, **numbers: int) -> float:
    found, _ = run_behind(function, x, shows, **numbers)
    return float((found - function(x)).abs().max())


@pytest.mark.parametrize("shows", [True, False], ids=["shows", "behind a product"])
@pytest.mark.parametrize("spread", [0.1, 1.0, 10.0, 3000.0])
def test_softmax_keeps_its_bound_for_any_spread(spread: float, shows: bool) -> None:
    x = drawn(40, 8, spread=spread)
    assert error(over(1), x, shows) < SOFTMAX + (1 if shows else 2) * ULP
    assert error(lambda x: torch.log_softmax(x, 1), x, shows) < LOG_SOFTMAX + 2 * ULP


@pytest.mark.parametrize("columns", [1, 2, 3, 5, 64, 200])
def test_rows_of_any_length_are_normalised(columns: int) -> None:
    x = drawn(6, columns, spread=2.0)
    assert error(over(1), x, False) < SOFTMAX + 3 * ULP
    assert error(lambda x: torch.log_softmax(x, 1), x, True) < LOG_SOFTMAX + 2 * ULP


@pytest.mark.parametrize("axis", [1, 2, -1])
def test_any_axis_is_normalised(axis: int) -> None:
    assert error(over(axis), drawn(2, 3, 5, 4), False) < SOFTMAX + 3 * ULP


def test_extremes_and_ties_are_normalised() -> None:
    end = END - ULP
    rows = [[end, -end, 0.0, end], [0.0] * 4, [-end] * 4, [16.0, 0.0, 0.0, 0.0], [ULP, 0.0, -ULP, 2 * ULP]]
    x = torch.tensor(rows, dtype=torch.float64)
    assert error(over(1), x, True) < SOFTMAX + ULP


@pytest.mark.parametrize(("parties", "levels"), [(3, 1), (4, 2), (5, 1)])
def test_any_number_of_parties_normalises_alike(parties: int, levels: int) -> None:
    assert error(over(1), drawn(3, 5), False, parties=parties, levels=levels) < SOFTMAX + 3 * ULP


def normed(columns: int, affine: bool = True) -> nn.LayerNorm:
    torch.manual_seed(4)
    layer = nn.LayerNorm(columns, elementwise_affine=affine)
    if affine:
        nn.init.normal_(layer.weight, 1.0, 0.3)
        nn.init.normal_(layer.bias, 0.0, 0.3)
    return layer


def excess(layer: nn.LayerNorm, x: Tensor, shows: bool, **numbers: int) -> float:
    """Say how far the error leaves its bound.

    That is a relative one, a rounding of the centred value over the deviation, and roundings of the result.
    """
    with torch.no_grad():
        found, _ = run_behind(layer, x, shows, **numbers)
        truth = deepcopy(layer).double()(x)
    deviation = (x.var(-1, unbiased=False, keepdim=True) + layer.eps).sqrt()
    return float(((found - truth).abs() - truth.abs() * 2e-5 - 4 * ULP / deviation - 6 * ULP).max())


@pytest.mark.parametrize("shows", [True, False], ids=["shows", "behind a product"])
@pytest.mark.parametrize("spread", [0.002, 0.05, 1.0, 10.0, 60.0])
@pytest.mark.parametrize("columns", [5, 8])
def test_layer_norm_keeps_its_bound_for_any_deviation(spread: float, columns: int, shows: bool) -> None:
    assert excess(normed(columns), drawn(30, columns, spread=spread) + round(spread), shows) < 0


@pytest.mark.parametrize("shape", [(1, 64), (2, 3, 7), (1, 1, 48)])
def test_layer_norm_of_odd_shapes(shape: tuple[int, ...]) -> None:
    assert excess(normed(shape[-1], affine=False), drawn(*shape), False, parties=3) < 0


def test_equal_values_are_normed_to_the_bias() -> None:
    layer = normed(8)
    with torch.no_grad():
        found, _ = run_behind(layer, torch.full((3, 8), 5.0, dtype=torch.float64))
    assert float((found - layer.bias.detach()).abs().max()) < 0.01


def test_rows_too_long_for_the_sum_of_squares_are_refused() -> None:
    with pytest.raises(PlanRejectedError, match="squares"):
        run_behind(normed(64), drawn(2, 64), fraction_bits=20, width=40)


CAUSAL = torch.full((6, 6), -torch.inf).triu(1)


@pytest.mark.parametrize("shows", [True, False], ids=["shows", "behind a product"])
@pytest.mark.parametrize("spread", [0.1, 10.0, 3000.0, 30000.0])
def test_a_masked_place_is_nothing_and_its_row_sums_to_one(spread: float, shows: bool) -> None:
    x = drawn(3, 6, 6, spread=spread).clamp(ULP - END, END - ULP)
    found, _ = run_behind(lambda x: torch.softmax(x + CAUSAL, 2), x, shows)
    assert (found[:, CAUSAL.isneginf()].abs() <= ULP).all()
    assert float((found - torch.softmax(x + CAUSAL, 2)).abs().max()) < SOFTMAX + (1 if shows else 2) * ULP


@pytest.mark.parametrize("left", [-END + 1, 0.0, END - 1])
@pytest.mark.parametrize("hidden", [-END + ULP, END - ULP])
def test_what_a_mask_hides_may_lie_at_either_end_of_the_range(hidden: float, left: float) -> None:
    scores = torch.full((2, 6, 6), left, dtype=torch.float64)
    scores[:, :, 1:3] += 0.5
    x = torch.where(CAUSAL.isneginf(), hidden, scores)
    assert error(lambda x: torch.softmax(x + CAUSAL, 2), x, True) < SOFTMAX + ULP


def test_a_mask_costs_no_round_and_no_byte() -> None:
    x = drawn(2, 6, 6)
    bare, masked = (
        run_behind(lambda x, mask=mask: torch.softmax(x + mask, 2), x, True)[1].costs
        for mask in (torch.zeros(6, 6), CAUSAL)
    )
    assert replace(masked, memory=bare.memory) == bare


@pytest.mark.parametrize("maxima", [MaxForm.TREE, MaxForm.PAIRS])
def test_a_guard_names_scores_beyond_the_range_and_only_those_that_a_mask_leaves(maxima: MaxForm) -> None:
    traced = trace_function(lambda x: torch.softmax(x * 8 + CAUSAL, 2), {"x": torch.randn(2, 6, 6)}, name="f")
    program = compile_plan(traced.plan, batch=1, parties=2, maxima=maxima, guard=True)
    x = np.full((1, 6, 6), -END / 8)
    x[0, 4, 2] = END / 8 - ULP
    assert_kept(program, {}, x)  # the largest difference that two values within the range have
    hidden = x.copy()
    hidden[0, 2, 4] = END - ULP
    assert np.array_equal(assert_kept(program, {}, hidden).output[0, 2, :3].round(3), [0.333] * 3)
    x[0, 4, 2] = END / 8
    with pytest.raises(RangeViolationError, match=r"aten\._softmax\.default: gate \d+ \(Pairs?Max\)"):
        ask(deployed(program, {}), x)
    with pytest.raises(OutOfRangeError, match=r"Pairs?Max\): a value takes more than 33 bits"):
        evaluate(program, {}, x)


@pytest.mark.parametrize("axis", [1, 2])
def test_a_mask_of_fewer_axes_masks_along_the_axis_of_the_softmax(axis: int) -> None:
    mask = torch.tensor([[0.0], [-torch.inf], [1.0]]) if axis == 1 else torch.tensor([0.0, -torch.inf])
    assert error(lambda x: torch.softmax(mask + x, axis), drawn(2, 3, 2), True) < SOFTMAX + ULP


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda x: torch.softmax(x + torch.tensor([0.0, -torch.inf]), 0), "leaves nothing of a row"),
        (lambda x: torch.softmax(x + torch.tensor([[0.0], [-torch.inf]]), 2), "leaves nothing of a row"),
        (lambda x: torch.log_softmax(x + torch.tensor([0.0, -torch.inf]), 1), "no fixed-point form"),
        (lambda x: (x + torch.tensor([0.0, -torch.inf])).exp(), "no fixed-point form"),
        (lambda x: torch.softmax(x - torch.tensor([0.0, -torch.inf]), 1), "no fixed-point form"),
    ],
)
def test_infinity_has_no_form_but_in_a_mask_that_leaves_something(
    function: Callable[[Tensor], Tensor], why: str
) -> None:
    traced = trace_function(function, {"x": torch.randn(2, 2, 2)}, name="f")
    with pytest.raises(PlanRejectedError, match=why):
        compile_plan(traced.plan, batch=2, parties=2)
