"""What depends on no input is a constant of the plan, and nothing else is."""

import torch
from torch import Tensor

from gridward.core.plans.executors.plain import run
from gridward.core.plans.folding import LARGEST
from gridward.core.plans.ops import Op
from gridward.core.plans.trace import Traced, trace_function


def traced_of(function: object, x: Tensor) -> Traced:
    assert callable(function)
    traced = trace_function(function, {"x": x}, name="f")
    torch.testing.assert_close(run(traced.plan, {"x": x})["output"], function(x), rtol=0, atol=0)
    return traced


def ops(traced: Traced) -> list[Op]:
    return [step.op for step in traced.plan.steps]


def test_a_constant_that_is_computed_is_computed_once_while_tracing() -> None:
    def places(x: Tensor) -> Tensor:
        return x + (torch.arange(4) * 2.0).sin()

    traced = traced_of(places, torch.randn(3, 4))
    assert ops(traced) == [Op.ADD_TENSOR]
    (constant,) = traced.plan.constants
    assert constant.shape == (4,)


def test_a_tensor_of_one_number_stays_a_step() -> None:
    traced = traced_of(lambda x: x + torch.ones(4, 4), torch.randn(3, 4, 4))
    assert ops(traced) == [Op.FULL, Op.ADD_TENSOR]
    assert not traced.plan.constants


def test_what_depends_on_the_batch_is_computed_when_the_plan_runs() -> None:
    traced = traced_of(lambda x: x + torch.ones(x.shape[0], 1) * 2, torch.randn(3, 4))
    assert Op.FULL in ops(traced)
    assert not traced.plan.constants


def test_a_large_constant_stays_a_computation() -> None:
    side = int(LARGEST**0.5) + 1

    def grown(x: Tensor) -> Tensor:
        return x * (torch.arange(side)[:, None] - torch.arange(side)).sum()

    assert Op.SUM_DIM_INTLIST in ops(traced_of(grown, torch.randn(3)))


def test_a_constant_that_changes_in_place_is_read_as_it_was_at_each_place() -> None:
    marks = torch.tensor([True, False, True])

    def changed(x: Tensor) -> Tensor:
        scale = torch.zeros_like(marks, dtype=x.dtype)
        before = x + scale
        scale.masked_fill_(marks, 2.0)
        after = before * scale
        scale.masked_fill_(marks.logical_not(), 5.0)
        return after - scale

    traced = traced_of(changed, torch.randn(4, 3))
    assert ops(traced) == [Op.ADD_TENSOR, Op.MUL_TENSOR, Op.SUB_TENSOR]
    assert torch.equal(marks, torch.tensor([True, False, True]))
