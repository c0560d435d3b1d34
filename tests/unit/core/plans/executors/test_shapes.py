"""Shapes, memory and operations are found without computing, and every step that cannot work is named."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gridward.core.errors import PlanRejectedError
from gridward.core.plans.executors.plain import execute
from gridward.core.plans.executors.shapes import distinct_rows, estimate, every_row, propagate
from gridward.core.plans.ops import Op
from gridward.core.plans.plan import (
    Argument,
    Constant,
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

X, W = Ref("x"), Ref("w")


def plan(*steps: tuple[Op, tuple[Argument, ...], tuple[str, ...]], out: str = "a") -> Plan:
    return Plan(
        name="p",
        kind=Kind.INFERENCE,
        producer="",
        dims=(("B", DimRange(1)),),
        inputs=(
            Input("x", Role.DATA, DType.FLOAT32, (Dim("B"), 4)),
            Input("w", Role.PARAM, DType.FLOAT32, (4, 4)),
            Input("k", Role.DATA, DType.BOOL, (Dim("B"),)),
            Input("l", Role.DATA, DType.BOOL, (Dim("B"),)),
        ),
        constants=(),
        steps=tuple(Step(*step) for step in steps),
        outputs=(Output("y", Role.OUTPUT, out),),
    )


FED = 4 * 4 * 4  # bytes of w


@given(st.integers(1, 50))
def test_shapes_and_dtypes_are_those_of_a_run(rows: int) -> None:
    written = plan(
        (Op.MM, (X, W), ("a",)),
        (Op.GT_SCALAR, (Ref("a"), 0.0), ("b",)),
        (Op.SUM_DIM_INTLIST, (Ref("b"), (1,), True, None), ("c",)),
        (Op.SORT, (Ref("c"), 0, False), ("d", "e")),
        (Op.ADD_TENSOR, (Ref("d"), Ref("a"), 1), ("f",)),
        out="f",
    )
    found = propagate(written, {"B": rows})
    inputs = {
        "x": torch.randn(rows, 4),
        "w": torch.randn(4, 4),
        "k": torch.ones(rows, dtype=torch.bool),
        "l": torch.ones(rows, dtype=torch.bool),
    }
    for name in ("a", "b", "c", "d", "e", "f"):
        outputs = (Output("y", Role.OUTPUT, name),)
        value = execute(replace(written, outputs=outputs), inputs, {"B": rows})["y"]
        assert found.shape(name) == tuple(value.shape)
        assert found.dtype(name) is value.dtype


def test_memory_is_what_is_alive_at_once_and_views_cost_nothing() -> None:
    rows = 1000
    fed = FED + rows * (16 + 1 + 1)
    chain = plan(
        (Op.EXP, (X,), ("a",)),
        (Op.EXP, (Ref("a"),), ("b",)),
        (Op.PERMUTE, (Ref("b"), (1, 0)), ("c",)),
        (Op.EXP, (Ref("c"),), ("d",)),
        (Op.EXP, (Ref("d"),), ("e",)),
        out="e",
    )
    assert estimate(chain, {"B": rows}).peak_bytes == fed + 2 * 16 * rows
    one = plan((Op.EXP, (X,), ("a",)))
    assert estimate(one, {"B": rows}).peak_bytes == fed + 16 * rows
    assert estimate(plan(out="x"), {"B": rows}).peak_bytes == fed


def test_a_huge_value_is_foreseen_without_being_made() -> None:
    huge = plan(
        (Op.UNSQUEEZE, (X, 0), ("a",)),
        (Op.EXPAND, (Ref("a"), (10**12, Dim("B"), 4)), ("b",)),
        (Op.NEG, (Ref("b"),), ("c",)),
        out="c",
    )
    found = estimate(huge, {"B": 1})
    assert found.peak_bytes > 16 * 10**12
    assert found.operations > 4 * 10**12


def test_a_result_that_is_a_view_counts_in_full() -> None:
    shown = plan((Op.EXPAND, (W, (1000, 4, 4)), ("a",)))
    assert estimate(shown, {"B": 1}).peak_bytes == FED + 18 + 1000 * FED


@pytest.mark.parametrize(
    ("step", "counted"),
    [
        ((Op.MM, (X, W), ("a",)), 2 * 10 * 4 * 4),
        ((Op.ADDMM, (Ref("x"), X, W, 1, 1), ("a",)), 2 * 10 * 4 * 4),
        ((Op.NEG, (X,), ("a",)), 40),
        ((Op.MEAN_DIM, (X, None, False, None), ("a",)), 41),
        ((Op.PERMUTE, (X, (1, 0)), ("a",)), 0),
        ((Op.SORT, (X, 0, False), ("a", "b")), 40 * math.ceil(math.log2(40))),
    ],
)
def test_operations_are_counted(step: tuple[Op, tuple[Argument, ...], tuple[str, ...]], counted: int) -> None:
    assert estimate(plan(step), {"B": 10}).operations == 1 + counted


def test_operations_of_a_convolution_are_counted() -> None:
    conv = replace(
        plan(
            (Op.CONVOLUTION, (X, W, None, (1, 1), (0, 0), (1, 1), False, (0, 0), 1), ("a",)),
            (Op.MAX_POOL2D_WITH_INDICES, (Ref("a"), (2, 2), (2, 2), (0, 0), (1, 1), False), ("b", "c")),
            out="b",
        ),
        inputs=(
            Input("x", Role.DATA, DType.FLOAT32, (Dim("B"), 3, 10, 10)),
            Input("w", Role.PARAM, DType.FLOAT32, (7, 3, 3, 3)),
        ),
    )
    made, pooled = 2 * 7 * 8 * 8, 2 * 7 * 4 * 4
    assert estimate(conv, {"B": 2}).operations == 1 + 2 * made * 27 + 1 + 2 * pooled * 4


def test_every_step_that_cannot_work_is_named_and_its_readers_are_not() -> None:
    bad = plan(
        (Op.MM, (W, X), ("a",)),
        (Op.NEG, (Ref("a"),), ("b",)),
        (Op.VIEW, (X, (7, 7)), ("c",)),
        (Op.NEG, (W,), ("d",)),
        out="b",
    )
    with pytest.raises(PlanRejectedError, match=r"step 0 \(aten.mm.*step 2 \(aten.view.*at B=3\)") as caught:
        propagate(bad, {"B": 3})
    assert "step 1" not in str(caught.value)
    assert "step 3" not in str(caught.value)


def test_a_value_that_fits_no_machine_is_refused() -> None:
    bad = plan((Op.EXPAND, (Ref("w"), (2**48, 2**10, 4, 4)), ("a",)))
    with pytest.raises(PlanRejectedError, match="fits no machine"):
        propagate(bad, {"B": 1})


def test_an_input_that_fits_no_machine_is_refused() -> None:
    bad = replace(plan(out="x"), inputs=(Input("x", Role.DATA, DType.BOOL, (2**48, 2**48, Dim("B"))),))
    with pytest.raises(PlanRejectedError, match=r"'x' .* fits no machine"):
        propagate(bad, {"B": 1})


def test_a_mask_keeps_at_most_all_rows_and_not_the_same_as_another() -> None:
    masked = plan(
        (Op.INDEX_TENSOR, (X, (Ref("k"),)), ("a",)),
        (Op.INDEX_TENSOR, (X, (Ref("l"),)), ("b",)),
        (Op.ADD_TENSOR, (Ref("a"), Ref("b"), 1), ("c",)),
        out="c",
    )
    assert propagate(masked, {"B": 9}, every_row).shape("c") == (9, 4)
    with pytest.raises(PlanRejectedError, match=r"step 2 \(aten.add.Tensor\)"):
        propagate(masked, {"B": 9}, distinct_rows)
    same = plan(
        (Op.INDEX_TENSOR, (X, (Ref("k"),)), ("a",)),
        (Op.INDEX_TENSOR, (X, (Ref("k"),)), ("b",)),
        (Op.ADD_TENSOR, (Ref("a"), Ref("b"), 1), ("c",)),
        out="c",
    )
    assert propagate(same, {"B": 9}, distinct_rows).shape("c") == (8, 4)


def test_a_mask_that_does_not_fit_is_refused() -> None:
    bad = plan((Op.INDEX_TENSOR, (W, (Ref("k"),)), ("a",)))
    with pytest.raises(PlanRejectedError, match="a mask of shape"):
        propagate(bad, {"B": 9})


def test_outputs_that_replace_inputs_keep_shape_and_dtype() -> None:
    bad = replace(plan((Op.NEG, (X,), ("a",))), outputs=(Output("w", Role.PARAM, "a"),))
    with pytest.raises(PlanRejectedError, match=r"output 'w': .* does not replace"):
        propagate(bad, {"B": 2})


def test_a_loss_is_one_number() -> None:
    bad = replace(plan((Op.NEG, (X,), ("a",))), outputs=(Output("loss", Role.LOSS, "a"),))
    with pytest.raises(PlanRejectedError, match="a loss is one floating-point number"):
        propagate(bad, {"B": 2})


def test_constants_have_their_shape() -> None:
    fixed = replace(plan(out="c"), constants=(Constant("c", DType.INT32, (2, 1), bytes(8)),))
    assert propagate(fixed, {"B": 1}).shape("c") == (2, 1)


def test_a_gradient_that_is_left_out_cannot_be_an_output() -> None:
    conv = replace(
        plan(
            (
                Op.CONVOLUTION_BACKWARD,
                (*(X, X, W, None), *((1, 1), (0, 0), (1, 1)), False, (0, 0), 1, (False, True, False)),
                ("a", "b", "c"),
            ),
        ),
        inputs=(
            Input("x", Role.DATA, DType.FLOAT32, (Dim("B"), 3, 5, 5)),
            Input("w", Role.PARAM, DType.FLOAT32, (3, 3, 1, 1)),
        ),
    )
    with pytest.raises(PlanRejectedError, match="is a gradient that its step leaves out"):
        propagate(conv, {"B": 2})


def test_twenty_thousand_steps_are_walked_in_seconds() -> None:
    chain = [(Op.NEG, (Ref(f"v{at}") if at else X,), (f"v{at + 1}",)) for at in range(20_000)]
    assert estimate(plan(*chain, out="v20000"), {"B": 1}).operations == 20_000 * 5
