"""Nothing is published that does not work for every number of rows, or is not what its author computes."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gridward.core.errors import PlanRejectedError
from gridward.core.plans.executors.gate import admit, publish
from gridward.core.plans.ops import Op
from gridward.core.plans.optimizers import SGD
from gridward.core.plans.plan import (
    Dim,
    DimRange,
    DType,
    Input,
    Kind,
    Output,
    Plan,
    Ref,
    Role,
    Step,
)
from gridward.core.plans.trace import trace_function, trace_training

TWO = Plan(
    name="two",
    kind=Kind.STATISTICS,
    producer="",
    dims=(("M", DimRange(1)), ("N", DimRange(1))),
    inputs=(
        Input("a", Role.DATA, DType.FLOAT32, (Dim("M"), 3)),
        Input("b", Role.DATA, DType.FLOAT32, (Dim("N"), 3)),
    ),
    constants=(),
    steps=(Step(Op.CAT, ((Ref("a"), Ref("b")), 0), ("t0",)),),
    outputs=(Output("y", Role.OUTPUT, "t0"),),
)


def test_a_published_plan_carries_its_cost() -> None:
    batch = (torch.randn(5, 3), torch.arange(5) % 2)
    traced = publish(trace_training(nn.Linear(3, 2), F.cross_entropy, SGD(0.1), batch, name="m"))
    assert traced.plan.cost is not None
    assert traced.plan.cost.flops_per_sample > 0
    assert admit(traced.plan) == traced.plan.cost


def test_a_plan_that_is_not_what_its_author_computes_is_refused() -> None:
    traced = trace_function(lambda a: a * 2, {"a": torch.randn(4, 3)}, name="double")
    wrong = replace(traced, eager=lambda values: {"output": values["a"] * 2.01})
    with pytest.raises(PlanRejectedError, match=r"with 1 rows .* output 'output' differs in value"):
        publish(wrong)
    longer = replace(traced, eager=lambda values: {"output": values["a"].double() * 2})
    with pytest.raises(PlanRejectedError, match=r"is torch.float32"):
        publish(longer)


def test_counts_are_compared_exactly() -> None:
    traced = trace_function(lambda a: (a > 0).sum(), {"a": torch.ones(40, 3)}, name="count")
    wrong = replace(traced, eager=lambda values: {"output": (values["a"] > 0).sum() + 1})
    with pytest.raises(PlanRejectedError, match="differs in value"):
        publish(wrong)
    assert publish(traced).plan.cost is not None


def test_variance_of_one_row_is_no_difference() -> None:
    assert publish(trace_function(lambda a: a.var(0), {"a": torch.randn(4, 3)}, name="v")).plan.cost


def test_a_plan_that_works_for_one_number_of_rows_only_is_refused() -> None:
    fixed = replace(TWO, steps=(Step(Op.VIEW, (Ref("a"), (6,)), ("t0",)),))
    with pytest.raises(PlanRejectedError, match=r"step 0 \(aten.view.default\)"):
        admit(fixed)


def test_two_tables_may_meet_but_not_row_by_row() -> None:
    assert admit(TWO).peak_bytes > 0
    rowwise = replace(TWO, steps=(Step(Op.ADD_TENSOR, (Ref("a"), Ref("b"), 1), ("t0",)),))
    with pytest.raises(PlanRejectedError, match=r"step 0 \(aten.add.Tensor\).*M=1009, N=1016"):
        admit(rowwise)


def test_bounds_of_dims_are_kept_while_trying() -> None:
    small = replace(TWO, dims=(("M", DimRange(2, 4)), ("N", DimRange(1, 1))))
    assert admit(small).peak_bytes > 0


def test_a_malformed_plan_does_not_come_in() -> None:
    with pytest.raises(PlanRejectedError, match="opset"):
        admit(replace(TWO, opset="x"))
