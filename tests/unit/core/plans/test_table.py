"""The columns of the op table agree with what the ops do."""

import pytest
import torch

from gridward.core.plans.executors.rules import TABLE
from gridward.core.plans.ops import ArgKind, CostRule, Gate, Op, RowRule
from gridward.core.plans.table import SPECS

UNARY = [
    op
    for op in Op
    if SPECS[op].rows is RowRule.ELEMENTWISE and len(SPECS[op].params) == 1 and op is not Op.LOGICAL_NOT
]


@pytest.mark.parametrize("op", UNARY)
def test_an_elementwise_op_keeps_rows_apart(op: Op) -> None:
    rows = torch.linspace(0.1, 0.9, 12).reshape(4, 3)
    other = rows.clone()
    other[2] = 0.55
    one, two = TABLE[op](rows), TABLE[op](other)
    assert isinstance(one, torch.Tensor)
    assert isinstance(two, torch.Tensor)
    keep = [0, 1, 3]
    assert torch.equal(one[keep], two[keep])


def test_ops_that_reduce_name_the_dimension_or_flatten() -> None:
    named = {RowRule.REDUCE, RowRule.ORDER, RowRule.SCAN}
    without = {op for op in Op if SPECS[op].rows in named and SPECS[op].position("dim") is None}
    assert without == {Op.HISTC}


def test_ops_without_operands_are_factories() -> None:
    kinds = {ArgKind.TENSOR, ArgKind.TENSORS, ArgKind.INDICES}
    bare = {op for op in Op if not any(param.kind in kinds for param in SPECS[op].params)}
    assert bare == {op for op in Op if SPECS[op].rows is RowRule.FACTORY}
    assert all(SPECS[op].gate is Gate.PUBLIC for op in bare)


def test_only_shape_changes_and_selections_are_free() -> None:
    free = {op for op in Op if SPECS[op].cost is CostRule.FREE}
    assert {SPECS[op].rows for op in free} == {RowRule.SHAPE, RowRule.SELECTION}


def test_no_gradient_has_an_encrypted_gate() -> None:
    assert all(SPECS[op].gate is Gate.NONE for op in Op if "BACKWARD" in op.name)
