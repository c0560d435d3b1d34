"""Masks over rows: each that is used is counted, and none slips by inside another."""

from collections.abc import Callable

import pytest

from gridward.core.plans.ops import Op
from gridward.core.plans.plan import DType, Ref
from gridward.core.privacy.analysis import Level
from tests.support.sketches import F64, ROWS, Sketch, mean, total


def test_a_mask_that_is_used_is_counted(sketch: Sketch) -> None:
    x = sketch.rows("x")
    heavy = sketch(Op.GT_SCALAR, x, 4.0)
    kept = sketch(Op.WHERE_SELF, heavy, x, sketch.public("zero"))
    found = sketch.analyse(total(sketch, kept))
    assert found.findings["y0"].level is Level.AGGREGATE
    assert [(guard.table, guard.rows) for guard in found.guards] == [("ward@1", ROWS)]
    assert [output.name for output in found.guarded.outputs] == ["y0", found.guards[0].output]


def test_a_mask_of_many_columns_is_counted_column_by_column(sketch: Sketch) -> None:
    x = sketch.rows("x", 3)
    share = mean(sketch, sketch(Op.TO_COPY, sketch(Op.GT_SCALAR, x, 4.0), F64), 0)
    found = sketch.analyse(share)
    assert found.findings["y0"].level is Level.AGGREGATE
    added = found.guarded.steps[-1]
    assert (added.op, added.args[1]) == (Op.SUM_DIM_INTLIST, (-2,))


def test_only_the_joined_mask_is_counted_where_masks_are_joined_by_logic(sketch: Sketch) -> None:
    x = sketch.rows("x")
    low, high = sketch(Op.GE_SCALAR, x, 2.0), sketch(Op.LT_SCALAR, x, 4.0)
    both = sketch(Op.LOGICAL_AND, low, high)
    found = sketch.analyse(total(sketch, both))
    assert [step.args[0] for step in found.guarded.steps[len(sketch.steps) :]] == [both]


def test_a_guard_output_never_takes_a_name_of_the_plan(sketch: Sketch) -> None:
    x = sketch.rows("x")
    named = sketch.public("guard.0")
    found = sketch.analyse(total(sketch, sketch(Op.GT_TENSOR, x, named)))
    assert found.guards[0].output != "guard.0"


def _masks(s: Sketch) -> tuple[Ref, Ref, Ref]:
    x = s.rows("x")
    one = s(Op.TO_COPY, s(Op.GT_SCALAR, x, 4.0), F64)
    two = s(Op.TO_COPY, s(Op.LT_SCALAR, x, 4.1), F64)
    return x, one, two


def _by_product(s: Sketch) -> Ref:
    _, one, two = _masks(s)
    return s(Op.MUL_TENSOR, one, two)


def _by_nested_where(s: Sketch) -> Ref:
    x, one, _ = _masks(s)
    return s(Op.WHERE_SELF, s(Op.LT_SCALAR, x, 4.1), one, s.public("zero"))


def _by_square_of_sum(s: Sketch) -> Ref:
    _, one, two = _masks(s)
    return s(Op.POW_TENSOR_SCALAR, s(Op.ADD_TENSOR, one, two, 1), 2)


def _by_quotient(s: Sketch) -> Ref:
    _, one, two = _masks(s)
    return s(Op.DIV_TENSOR, one, two)


def _by_truncation(s: Sketch) -> Ref:
    _, one, two = _masks(s)
    half = s(Op.MUL_SCALAR, s(Op.ADD_TENSOR, one, two, 1), 0.5)
    return s(Op.TO_COPY, half, DType.INT64)


def _by_wrapping_bytes(s: Sketch) -> Ref:
    x = s.rows("x")
    one = s(Op.TO_COPY, s(Op.GT_SCALAR, x, 4.0), DType.UINT8)
    two = s(Op.TO_COPY, s(Op.LT_SCALAR, x, 4.1), DType.UINT8)
    return s(Op.ADD_TENSOR, s(Op.MUL_SCALAR, one, 128), s(Op.MUL_SCALAR, two, 128), 1)


def _by_truncating_sum(s: Sketch) -> Ref:
    _, one, two = _masks(s)
    half = s(Op.MUL_SCALAR, s(Op.ADD_TENSOR, one, two, 1), 0.5)
    return s(Op.SUM_DIM_INTLIST, half, None, False, DType.INT64)


def _by_wrapping_product(s: Sketch) -> Ref:
    count = total(s, s(Op.GT_SCALAR, s.rows("x", 2), 4.0), 1)
    return s(Op.TO_COPY, s(Op.MUL_TENSOR, count, s.public("w", dtype=DType.INT64)), F64)


def _by_wrapping_matrix(s: Sketch) -> Ref:
    count = s(Op.SUM_DIM_INTLIST, s(Op.GT_SCALAR, s.rows("x", 2), 4.0), (1,), True, None)
    return s(Op.TO_COPY, s(Op.MM, count, s.public("w", 1, 1, dtype=DType.INT64)), F64)


def _by_minimum(s: Sketch) -> Ref:
    _, one, two = _masks(s)
    return s(Op.MINIMUM, one, two)


def _by_masked_object(s: Sketch) -> Ref:
    _, one, _ = _masks(s)
    return s(Op.MUL_TENSOR, one, s.rows("kept", masked=True))


def _by_columns(s: Sketch) -> Ref:
    wide = s(Op.TO_COPY, s(Op.GT_SCALAR, s.rows("x", 3), 4.0), F64)
    return s(Op.MUL_TENSOR, s(Op.SELECT_INT, wide, 1, 0), s(Op.SELECT_INT, wide, 1, 1))


@pytest.mark.parametrize(
    "attack",
    [
        _by_product,
        _by_nested_where,
        _by_square_of_sum,
        _by_quotient,
        _by_truncation,
        _by_wrapping_bytes,
        _by_truncating_sum,
        _by_wrapping_product,
        _by_wrapping_matrix,
        _by_minimum,
        _by_masked_object,
        _by_columns,
    ],
    ids=lambda attack: attack.__name__.strip("_"),
)
def test_two_masks_do_not_meet_uncounted(sketch: Sketch, attack: Callable[[Sketch], Ref]) -> None:
    found = sketch.find(total(sketch, attack(sketch)))
    assert found.level is Level.OPAQUE
    assert "several row masks" in found.reason


def test_products_of_masked_columns_do_not_count_pairs(sketch: Sketch) -> None:
    wide = sketch(Op.TO_COPY, sketch(Op.GT_SCALAR, sketch.rows("x", 3), 4.0), F64)
    gram = sketch(Op.MM, sketch(Op.PERMUTE, wide, (1, 0)), wide)
    assert sketch.find(gram).level is Level.OPAQUE


def test_a_comparison_of_masks_is_a_mask_of_its_own(sketch: Sketch) -> None:
    _, one, two = _masks(sketch)
    both = sketch(Op.GT_SCALAR, sketch(Op.ADD_TENSOR, one, two, 1), 1.5)
    found = sketch.analyse(total(sketch, both))
    assert found.findings["y0"].level is Level.AGGREGATE
    assert both in [step.args[0] for step in found.guarded.steps[len(sketch.steps) :]]


def test_a_nan_made_by_division_is_a_mask_when_it_is_asked_for(sketch: Sketch) -> None:
    x = sketch.rows("x")
    gap = sketch(Op.SUB_SCALAR, x, 3.5, 1)
    odd = sketch(Op.ISNAN, sketch(Op.DIV_TENSOR, sketch(Op.MUL_SCALAR, gap, 0.0), gap))
    assert len(sketch.analyse(total(sketch, odd)).guards) == 1


def test_a_boolean_column_of_the_data_is_counted_like_any_mask(sketch: Sketch) -> None:
    smoker = sketch.rows("smoker", dtype=DType.BOOL)
    assert len(sketch.analyse(total(sketch, smoker)).guards) == 1


def test_histogram_bins_are_counted(sketch: Sketch) -> None:
    bins = sketch(Op.HISTC, sketch.rows("x"), 5, 0, 10)
    found = sketch.analyse(bins)
    assert found.findings["y0"].level is Level.AGGREGATE
    assert [output.ref for output in found.guarded.outputs] == [bins.name, bins.name]
    assert sketch.find(bins, counted=False).level is Level.OPAQUE


def test_masked_rows_are_remembered_as_masked(sketch: Sketch) -> None:
    x, one, _ = _masks(sketch)
    assert sketch.find(sketch(Op.MUL_TENSOR, x, one)).masked
    assert not sketch.find(sketch(Op.EXP, x)).masked
