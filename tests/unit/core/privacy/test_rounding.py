"""Counts are rounded before anything is made of them, and what guards them is not."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from gridward.core.plans.executors.plain import run
from gridward.core.plans.ops import Op
from gridward.core.plans.plan import DType, Ref
from gridward.core.plans.validate import check
from gridward.core.privacy.analysis import Analysis
from gridward.core.privacy.decision import Grant, Reason
from gridward.core.privacy.disclosure import Evidence, Thresholds
from gridward.core.privacy.policy import decide
from gridward.core.privacy.rounding import rounded
from tests.support.sketches import ROWS, Sketch

X = torch.arange(float(ROWS), dtype=torch.float64)


def ran(found: Analysis, base: int) -> dict[str, torch.Tensor]:
    plan = rounded(found.guarded, found.counts, {"ward@1": base}, [one.output for one in found.guards])
    check(plan)
    return run(plan, {"x": X})


def count(sketch: Sketch, mask: Ref) -> Ref:
    return sketch(Op.SUM_DIM_INTLIST, mask, (0,), False, DType.INT64)


@pytest.mark.parametrize(("over", "near"), [(6.5, 15), (7.5, 10), (-1.0, 20), (99.0, 0)])
def test_a_count_is_the_nearest_multiple_and_its_guard_the_count(over: float, near: int) -> None:
    sketch = Sketch()
    found = sketch.analyse(count(sketch, sketch(Op.GT_SCALAR, sketch.rows("x"), over)))
    outputs = ran(found, 5)
    assert outputs["y0"].tolist() == near
    assert outputs["y0"].dtype is torch.int64
    assert outputs[found.guards[0].output].tolist() == int((over < X).sum())
    assert ran(found, 1)["y0"].tolist() == int((over < X).sum())


def test_what_follows_a_count_sees_the_rounded_one(sketch: Sketch) -> None:
    x = sketch.rows("x")
    mask = sketch(Op.GT_SCALAR, x, 6.5)
    share = sketch(Op.DIV_SCALAR, count(sketch, mask), ROWS)
    assert ran(sketch.analyse(share), 5)["y0"].item() == 0.75


def test_a_mask_that_was_made_into_numbers_is_counted_the_same(sketch: Sketch) -> None:
    numbers = sketch(Op.TO_COPY, sketch(Op.GT_SCALAR, sketch.rows("x"), 6.5), DType.FLOAT32)
    total = sketch(Op.SUM_DIM_INTLIST, numbers, (0,), False, None)
    assert ran(sketch.analyse(total), 5)["y0"].tolist() == 15.0


def test_a_mean_of_a_mask_is_its_rounded_count_by_the_number_of_rows(sketch: Sketch) -> None:
    mask = sketch(Op.GT_SCALAR, sketch.rows("x"), 6.5)
    numbers = sketch(Op.TO_COPY, sketch(Op.TO_COPY, mask, DType.FLOAT32), DType.FLOAT64)
    found = sketch.analyse(sketch(Op.MEAN_DIM, numbers, (0,), False, None))
    assert ran(found, 5)["y0"].item() == 0.75
    assert ran(found, 1)["y0"].item() == 0.65
    assert found.disguised == ()


def test_numbers_of_a_mask_that_were_moved_are_counted_too(sketch: Sketch) -> None:
    numbers = sketch(Op.TO_COPY, sketch(Op.GT_SCALAR, sketch.rows("x"), 6.5), DType.FLOAT64)
    column = sketch(Op.UNSQUEEZE, numbers, 1)
    assert ran(sketch.analyse(sketch(Op.SUM_DIM_INTLIST, column, (0,), False, None)), 5)["y0"].item() == 15.0


def _doubled(sketch: Sketch, numbers: Ref) -> Ref:
    return sketch(Op.SUM_DIM_INTLIST, sketch(Op.MUL_SCALAR, numbers, 2.0), (0,), False, None)


def _raised(sketch: Sketch, numbers: Ref) -> Ref:
    return sketch(Op.MEAN_DIM, sketch(Op.EXP, numbers), (0,), False, None)


def _varied(sketch: Sketch, numbers: Ref) -> Ref:
    return sketch(Op.VAR_CORRECTION, numbers, (0,), 1, False)


def _multiplied(sketch: Sketch, numbers: Ref) -> Ref:
    ones = sketch(Op.FULL, (1, ROWS), 1.0, DType.FLOAT64)
    return sketch(Op.MM, ones, sketch(Op.UNSQUEEZE, numbers, 1))


def _joined_with_a_multiple(sketch: Sketch, numbers: Ref) -> Ref:
    column = sketch(Op.UNSQUEEZE, numbers, 1)
    both = sketch(Op.CAT, (column, sketch(Op.MUL_SCALAR, column, 1000.0)), 1)
    return sketch(Op.SUM_DIM_INTLIST, both, (0,), False, None)


def _copied_five_times(sketch: Sketch, numbers: Ref) -> Ref:
    copies = sketch(Op.EXPAND, sketch(Op.UNSQUEEZE, numbers, 1), (ROWS, 5))
    return sketch(Op.SUM_DIM_INTLIST, copies, (0, 1), False, None)


def _padded(sketch: Sketch, numbers: Ref) -> Ref:
    column = sketch(Op.UNSQUEEZE, numbers, 1)
    return sketch(Op.SUM_DIM_INTLIST, sketch(Op.CONSTANT_PAD_ND, column, (0, 1), 0.2), (0,), False, None)


@pytest.mark.parametrize(
    "told",
    [_doubled, _raised, _varied, _multiplied, _joined_with_a_multiple, _copied_five_times, _padded],
)
def test_a_sum_of_nothing_but_masks_is_a_count_in_disguise(
    sketch: Sketch, told: Callable[[Sketch, Ref], Ref]
) -> None:
    mask = sketch(Op.GT_SCALAR, sketch.rows("x"), 6.5)
    found = sketch.analyse(told(sketch, sketch(Op.TO_COPY, mask, DType.FLOAT64)))
    assert [one.table for one in found.disguised] == ["ward@1"]
    evidence = Evidence(disguised=found.disguised)
    for base, reason in ((5, Reason.NOT_ROUNDED), (1, Reason.AGGREGATE)):
        ward = Grant("ward@1", "ward", frozenset({"compute"}), ROWS, 5, entities=ROWS)
        ward = replace(ward, thresholds=Thresholds(round_counts=base))
        assert decide(found.findings, [ward], [], finite=True, evidence=evidence).reason is reason


def test_a_sum_of_data_under_a_mask_is_no_count(sketch: Sketch) -> None:
    x = sketch.rows("x")
    numbers = sketch(Op.TO_COPY, sketch(Op.GT_SCALAR, x, 6.5), DType.FLOAT64)
    total = sketch(Op.SUM_DIM_INTLIST, sketch(Op.MUL_TENSOR, x, numbers), (0,), False, None)
    found = sketch.analyse(total)
    assert (found.disguised, found.counts) == ((), ())


def test_bins_are_rounded_and_their_guard_is_not(sketch: Sketch) -> None:
    found = sketch.analyse(sketch(Op.HISTC, sketch.rows("x"), 2, 0.0, 10.0))
    outputs = ran(found, 5)
    assert outputs["y0"].tolist() == [5.0, 5.0]
    assert outputs[found.guards[0].output].tolist() == [5.0, 6.0]


def test_other_sums_are_left_alone(sketch: Sketch) -> None:
    x = sketch.rows("x")
    found = sketch.analyse(sketch(Op.SUM_DIM_INTLIST, x, None, False, None))
    assert found.counts == ()
    assert ran(found, 5)["y0"].item() == X.sum().item()


def test_a_mask_kept_as_numbers_stays_a_count_in_disguise(sketch: Sketch) -> None:
    mask = sketch(Op.GT_SCALAR, sketch.rows("x"), 6.5)
    kept = sketch.find(sketch(Op.TO_COPY, mask, DType.FLOAT64))
    assert kept.coded
    assert not sketch.find(sketch.rows("z")).coded
    plan = Sketch()
    numbers = plan.rows("kept")
    plan.feeds["kept"] = replace(plan.feeds["kept"], masked=True, coded=True)
    found = plan.analyse(plan(Op.SUM_DIM_INTLIST, numbers, (0,), False, None))
    assert [one.table for one in found.disguised] == ["ward@1"]
