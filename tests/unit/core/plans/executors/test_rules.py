"""Every op has a rule on torch tensors."""

import pytest
import torch

from gridward.core.plans.executors.rules import TABLE, apply, constant
from gridward.core.plans.ops import Op
from gridward.core.plans.plan import Constant, Dim, DType, Ref, Step


def test_every_op_has_a_rule() -> None:
    assert set(TABLE) == set(Op)


def test_arguments_become_what_torch_takes() -> None:
    x = torch.arange(6.0).reshape(2, 3)
    (copy,) = apply(Step(Op.TO_COPY, (Ref("x"), DType.INT64), ("t",)), {"x": x}, {})
    (flat,) = apply(Step(Op.VIEW, (Ref("x"), (Dim("B"), -1)), ("t",)), {"x": x}, {"B": 6})
    (top,) = apply(Step(Op.AMAX, (Ref("x"), None, False), ("t",)), {"x": x}, {})
    (row,) = apply(
        Step(Op.INDEX_TENSOR, (Ref("x"), (None, Ref("i"))), ("t",)), {"x": x, "i": torch.tensor([2])}, {}
    )
    assert copy is not None
    assert copy.dtype is torch.int64
    assert flat is not None
    assert flat.shape == (6, 1)
    assert top == 5
    assert row is not None
    assert row.tolist() == [[2.0], [5.0]]


def test_a_view_may_need_a_copy() -> None:
    x = torch.arange(6.0).reshape(2, 3).t()
    (flat,) = apply(Step(Op.VIEW, (Ref("x"), (-1,)), ("t",)), {"x": x}, {})
    assert flat is not None
    assert flat.tolist() == [0, 3, 1, 4, 2, 5]


def test_a_gradient_that_is_left_out_cannot_be_read() -> None:
    with pytest.raises(ValueError, match="told to leave out"):
        apply(Step(Op.NEG, (Ref("g"),), ("t",)), {"g": None}, {})


@pytest.mark.parametrize("dtype", DType)
def test_constants_are_little_endian_rows(dtype: DType) -> None:
    value = torch.tensor([[1, 0, 1], [0, 0, 1]]).to(getattr(torch, dtype))
    assert torch.equal(constant(Constant("c", dtype, (2, 3), value.numpy().tobytes())), value)
    assert constant(Constant("c", dtype, (0, 3), b"")).shape == (0, 3)
