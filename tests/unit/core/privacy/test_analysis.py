"""What may pass, and every way that we know to smuggle a row out, each refused by name."""

from collections.abc import Callable

import pytest

from gridward.core.plans.ops import Op
from gridward.core.plans.plan import DType, Ref
from gridward.core.privacy.analysis import Level
from gridward.core.privacy.rules import RULES
from tests.support.sketches import Sketch

B = 20
F64 = DType.FLOAT64


def total(s: Sketch, x: Ref, *dims: int) -> Ref:
    """Add up over axes, all if none are given."""
    return s(Op.SUM_DIM_INTLIST, x, dims or None, False, None)


def mean(s: Sketch, x: Ref, *dims: int) -> Ref:
    return s(Op.MEAN_DIM, x, dims or None, False, None)


def test_every_op_has_a_rule() -> None:
    assert set(RULES) == set(Op)


# --- statistics that pass


def test_sum_mean_and_variance_over_rows_are_aggregates(sketch: Sketch) -> None:
    x = sketch.rows("x", 3)
    results = (
        total(sketch, x),
        mean(sketch, x, 0),
        sketch(Op.VAR_CORRECTION, x, (0,), 1, False),
        sketch(Op.SQRT, mean(sketch, x, -2)),
        total(sketch, total(sketch, x, 1)),
    )
    findings = sketch.analyse(*results).findings
    assert {found.level for found in findings.values()} == {Level.AGGREGATE}


def test_products_over_the_row_axis_are_aggregates(sketch: Sketch) -> None:
    x, y = sketch.rows("x", 3), sketch.rows("y")
    xt = sketch(Op.PERMUTE, x, (1, 0))
    centred = sketch(Op.SUB_TENSOR, x, mean(sketch, x, 0), 1)
    column = sketch(Op.UNSQUEEZE, y, 1)
    results = (
        sketch(Op.MM, xt, x),
        sketch(Op.MM, xt, column),
        sketch(Op.MM, sketch(Op.PERMUTE, centred, (1, 0)), centred),
    )
    findings = sketch.analyse(*results).findings
    assert {found.level for found in findings.values()} == {Level.AGGREGATE}


def test_elementwise_work_and_a_public_matrix_on_the_columns_keep_rows(sketch: Sketch) -> None:
    x, w, b = sketch.rows("x", 3), sketch.public("w", 3, 2), sketch.public("b", 2)
    h = sketch(Op.EXP, sketch(Op.ADDMM, b, x, w, 1, 1))
    found = sketch.find(h)
    assert (found.level, found.table, found.axis) == (Level.ROWS, "ward@1", 0)
    assert sketch.find(mean(sketch, h, 0)).level is Level.AGGREGATE


def test_what_follows_an_aggregate_is_free(sketch: Sketch) -> None:
    x = sketch.rows("x", 3)
    m = mean(sketch, x, 0)
    assert sketch.find(sketch(Op.SELECT_INT, m, 0, 1)).level is Level.AGGREGATE
    assert sketch.find(sketch(Op.SORT, m, 0, True, results=2)).level is Level.AGGREGATE


def test_what_the_caller_sent_is_public(sketch: Sketch) -> None:
    a = sketch.public("a", 4)
    assert sketch.find(sketch(Op.SELECT_INT, a, 0, 1)).level is Level.PUBLIC


def test_a_column_of_ones_may_join_the_rows(sketch: Sketch) -> None:
    x = sketch.rows("x", 3)
    ones = sketch(Op.FULL, (B, 1), 1.0, F64)
    design = sketch(Op.CAT, (x, ones), 1)
    gram = sketch(Op.MM, sketch(Op.PERMUTE, design, (1, 0)), design)
    assert sketch.find(gram).level is Level.AGGREGATE


def test_a_view_that_keeps_the_row_axis_keeps_rows(sketch: Sketch) -> None:
    x = sketch.rows("x", 2, 6)
    for shape in ((B, 12), (B, 1, 12), (1, B, 12), (B, 2, 2, 3)):
        found = sketch.find(sketch(Op.VIEW, x, shape))
        assert (found.level, found.axis) == (Level.ROWS, shape.index(B))


def test_the_row_axis_is_followed_by_name_where_another_has_its_size(sketch: Sketch) -> None:
    x, w = sketch.rows("x", B), sketch.public("w", B, B)
    h = sketch(Op.MM, x, w)
    assert sketch.find(total(sketch, h, 0)).level is Level.AGGREGATE
    assert sketch.find(total(sketch, h, 1)).level is Level.ROWS
    turned = sketch(Op.PERMUTE, h, (1, 0))
    assert sketch.find(total(sketch, turned, 0)).level is Level.ROWS
    assert sketch.find(total(sketch, turned, 1)).level is Level.AGGREGATE
    assert sketch.find(sketch(Op.ADD_TENSOR, h, sketch.public("b", B), 1)).level is Level.ROWS


# --- attacks


def _selected(s: Sketch, x: Ref) -> Ref:
    return s(Op.SELECT_INT, x, 0, 0)


def _sliced(s: Sketch, x: Ref) -> Ref:
    return total(s, s(Op.SLICE_TENSOR, x, 0, 0, 1, 1))


def _sliced_with_steps(s: Sketch, x: Ref) -> Ref:
    return total(s, s(Op.SLICE_TENSOR, x, 0, 0, None, B - 1))


def _index_selected(s: Sketch, x: Ref) -> Ref:
    return total(s, s(Op.INDEX_SELECT, x, 0, s.public("i", 1, dtype=DType.INT64)))


def _indexed(s: Sketch, x: Ref) -> Ref:
    return total(s, s(Op.INDEX_TENSOR, x, (s.public("i", 1, dtype=DType.INT64),)))


def _gathered(s: Sketch, x: Ref) -> Ref:
    return total(s, s(Op.GATHER, x, 0, s.public("i", 1, 3, dtype=DType.INT64)))


def _embedded(s: Sketch, x: Ref) -> Ref:
    return s(Op.EMBEDDING, x, s.public("i", 1, dtype=DType.INT64))


def _public_weights(s: Sketch, x: Ref) -> Ref:
    return total(s, s(Op.MUL_TENSOR, x, s.public("w", B, 1)))


def _constant_weights(s: Sketch, x: Ref) -> Ref:
    return total(s, s(Op.MUL_TENSOR, x, s.constant(B, 1)))


def _weights_by_product(s: Sketch, x: Ref) -> Ref:
    return s(Op.MM, s.public("w", 1, B), x)


def _weights_from_aggregate(s: Sketch, x: Ref) -> Ref:
    return s(Op.MM, s.aggregate("w", 1, B), x)


def _one_hot_by_counting(s: Sketch, x: Ref) -> Ref:
    at = s(Op.ARANGE_START_STEP, 0, B, 1, F64)
    hot = s(Op.UNSQUEEZE, s(Op.TO_COPY, s(Op.EQ_SCALAR, at, 3), F64), 1)
    return total(s, s(Op.MUL_TENSOR, x, hot))


def _one_hot_by_padding(s: Sketch, x: Ref) -> Ref:
    hot = s(Op.CONSTANT_PAD_ND, s(Op.FULL, (1, 1), 1.0, F64), (0, 0, 0, B - 1), 0)
    return total(s, s(Op.MUL_TENSOR, x, hot))


def _one_hot_by_joining(s: Sketch, x: Ref) -> Ref:
    hot = s(Op.CAT, (s(Op.FULL, (1, 1), 1.0, F64), s(Op.FULL, (B - 1, 1), 0.0, F64)), 0)
    return total(s, s(Op.MUL_TENSOR, x, hot))


def _weights_by_adding(s: Sketch, x: Ref) -> Ref:
    return total(s, s(Op.EXP, s(Op.ADD_TENSOR, x, s.public("w", B, 1), 1)))


def _weights_by_where(s: Sketch, x: Ref) -> Ref:
    return total(s, s(Op.WHERE_SELF, s.public("w", B, 1, dtype=DType.BOOL), x, s.public("z")))


def _weights_by_counting_the_columns(s: Sketch, x: Ref) -> Ref:
    ones = s(Op.FULL, (B, 1), 1.0, F64)
    ramp = s(Op.CUMSUM, ones, 0, None)
    return total(s, s(Op.MUL_TENSOR, x, ramp))


def _weights_through_view(s: Sketch, x: Ref) -> Ref:
    w = s(Op.VIEW, s(Op.ARANGE_START_STEP, 0, B, 1, F64), (B, 1))
    return total(s, s(Op.MUL_TENSOR, x, w))


def _padding_rows(s: Sketch, x: Ref) -> Ref:
    return total(s, s(Op.CONSTANT_PAD_ND, x, (0, 0, -1, 0), 0))


def _mixing_view(s: Sketch, x: Ref) -> Ref:
    return total(s, s(Op.VIEW, x, (3, B)), 1)


def _flat_view(s: Sketch, x: Ref) -> Ref:
    return s(Op.SELECT_INT, s(Op.VIEW, x, (3 * B,)), 0, 7)


def _split_view(s: Sketch, x: Ref) -> Ref:
    return total(s, s(Op.VIEW, x, (2, B // 2, 3)), 1)


def _cumulative(s: Sketch, x: Ref) -> Ref:
    return total(s, s(Op.CUMSUM, x, 0, None))


def _sum_over_columns(s: Sketch, x: Ref) -> Ref:
    return total(s, x, 1)


def _sum_over_an_axis_of_one(s: Sketch, x: Ref) -> Ref:
    return total(s, s(Op.VIEW, x, (1, B, 3)), 0)


def _mean_over_an_axis_of_one(s: Sketch, x: Ref) -> Ref:
    return mean(s, s(Op.UNSQUEEZE, x, 1), 1)


def _expand_and_select(s: Sketch, x: Ref) -> Ref:
    return s(Op.SELECT_INT, s(Op.EXPAND, x, (2, B, 3)), 0, 0)


def _rows_against_rows(s: Sketch, x: Ref) -> Ref:
    left, right = s(Op.UNSQUEEZE, x, 0), s(Op.UNSQUEEZE, x, 1)
    return total(s, s(Op.SUB_TENSOR, left, right, 1), 0)


def _all_pairs_by_product(s: Sketch, x: Ref) -> Ref:
    return s(Op.MM, x, s(Op.PERMUTE, x, (1, 0)))


def _rows_as_weights_of_columns(s: Sketch, x: Ref) -> Ref:
    return s(Op.MM, s.rows("square", B), x)


def _other_dataset_beside(s: Sketch, x: Ref) -> Ref:
    return total(s, s(Op.MUL_TENSOR, x, s.rows("z", 3, table="other@1")))


def _other_dataset_by_product(s: Sketch, x: Ref) -> Ref:
    return s(Op.MM, s(Op.PERMUTE, s.rows("z", 1, table="other@1"), (1, 0)), x)


def _other_version_beside(s: Sketch, x: Ref) -> Ref:
    return total(s, s(Op.SUB_TENSOR, x, s.rows("z", 3, table="ward@2"), 1))


def _datasets_joined(s: Sketch, x: Ref) -> Ref:
    return total(s, s(Op.CAT, (x, s.rows("z", 3, table="other@1")), 0))


def _rows_joined_twice(s: Sketch, x: Ref) -> Ref:
    return total(s, s(Op.CAT, (x, x), 0))


def _public_rows_joined(s: Sketch, x: Ref) -> Ref:
    return total(s, s(Op.CAT, (x, s.public("z", 1, 3)), 0))


def _opaque(s: Sketch, x: Ref) -> Ref:
    return total(s, s(Op.ADD_TENSOR, x, s.opaque("z"), 1))


def _order(op: Op, *args: object, results: int = 1) -> Callable[[Sketch, Ref], Ref]:
    def attack(s: Sketch, x: Ref) -> Ref:
        first: Ref = s(op, x, *args, results=results)
        return first

    attack.__name__ = op.name.lower()
    return attack


def _batch_through_softmax(s: Sketch, x: Ref) -> Ref:
    return total(s, s(Op.SOFTMAX, s(Op.MUL_SCALAR, x, 1e9), 0, False))


def _histogram_of_many_columns(s: Sketch, x: Ref) -> Ref:
    return s(Op.HISTC, x, 10, 0, 1)


def _convolution_over_rows(s: Sketch, x: Ref) -> Ref:
    picture = s(Op.VIEW, x, (1, 1, B, 3))
    weight = s.public("weight", 1, 1, B, 1)
    return s(Op.CONVOLUTION, picture, weight, None, (1, 1), (0, 0), (1, 1), False, (0, 0), 1)


def _rows_as_filter(s: Sketch, x: Ref) -> Ref:
    weight = s(Op.VIEW, x, (B, 3, 1, 1))
    picture = s.public("picture", 1, 3, 1, 1)
    return s(Op.CONVOLUTION, picture, weight, None, (1, 1), (0, 0), (1, 1), False, (0, 0), 1)


def _pooled_rows(s: Sketch, x: Ref) -> Ref:
    picture = s(Op.VIEW, x, (1, 1, B, 3))
    return s(Op.AVG_POOL2D, picture, (2, 1), (2, 1), (0, 0), False, True, None)


def _layer_norm_over_rows(s: Sketch, x: Ref) -> Ref:
    return s(Op.NATIVE_LAYER_NORM, x, (B, 3), None, None, 1e-5, results=3)


def _rows_merged_by_a_size_that_a_mask_makes(s: Sketch, x: Ref) -> Ref:
    kept = s(Op.INDEX_TENSOR, s.public("w", B), (s.public("m", B, dtype=DType.BOOL),))
    wide = s(Op.MUL_TENSOR, s(Op.UNSQUEEZE, s.rows("y"), 1), kept)
    return total(s, s(Op.VIEW, wide, (-1, B)), 0)


def _rows_merged_by_a_size_that_bytes_make(s: Sketch, x: Ref) -> Ref:
    kept = s(Op.INDEX_TENSOR, s.public("w", B), (s.public("m", B, dtype=DType.UINT8),))
    wide = s(Op.MUL_TENSOR, s(Op.UNSQUEEZE, s.rows("y"), 1), kept)
    return total(s, s(Op.VIEW, wide, (-1, B)), 0)


ATTACKS = [
    _selected,
    _sliced,
    _sliced_with_steps,
    _index_selected,
    _indexed,
    _gathered,
    _embedded,
    _public_weights,
    _constant_weights,
    _weights_by_product,
    _weights_from_aggregate,
    _one_hot_by_counting,
    _one_hot_by_padding,
    _one_hot_by_joining,
    _weights_by_adding,
    _weights_by_where,
    _weights_by_counting_the_columns,
    _weights_through_view,
    _padding_rows,
    _mixing_view,
    _flat_view,
    _split_view,
    _cumulative,
    _sum_over_columns,
    _sum_over_an_axis_of_one,
    _mean_over_an_axis_of_one,
    _expand_and_select,
    _rows_against_rows,
    _all_pairs_by_product,
    _rows_as_weights_of_columns,
    _other_dataset_beside,
    _other_dataset_by_product,
    _other_version_beside,
    _datasets_joined,
    _rows_joined_twice,
    _public_rows_joined,
    _opaque,
    _order(Op.AMAX, (0,), False),
    _order(Op.AMIN, None, False),
    _order(Op.ARGMAX, 0, False),
    _order(Op.ARGMIN, None, False),
    _order(Op.MEDIAN_DIM, 0, False, results=2),
    _order(Op.QUANTILE_SCALAR, 0.5, 0, False, "linear"),
    _order(Op.SORT, 0, False, results=2),
    _batch_through_softmax,
    _histogram_of_many_columns,
    _convolution_over_rows,
    _rows_as_filter,
    _pooled_rows,
    _layer_norm_over_rows,
    _rows_merged_by_a_size_that_a_mask_makes,
    _rows_merged_by_a_size_that_bytes_make,
]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__.strip("_"))
@pytest.mark.parametrize("counted", [True, False], ids=["computing", "training"])
def test_no_attack_yields_an_aggregate(sketch: Sketch, attack: Callable[..., Ref], counted: bool) -> None:
    result = attack(sketch, sketch.rows("x", 3))
    found = sketch.find(result, counted=counted)
    assert found.level in (Level.ROWS, Level.OPAQUE)
    if found.level is Level.OPAQUE:
        assert found.reason.startswith(("step ", "input "))


def test_a_refusal_names_the_step_and_the_op(sketch: Sketch) -> None:
    x = sketch.rows("x", 3)
    first = sketch(Op.SELECT_INT, sketch(Op.EXP, x), 0, 0)
    found = sketch.find(sketch(Op.ADD_SCALAR, first, 1, 1))
    assert found.reason == "step 1 (aten.select.int): it selects, reorders or merges rows"


def test_any_and_all_over_rows_are_refused(sketch: Sketch) -> None:
    high = sketch(Op.GT_SCALAR, sketch.rows("x"), 3)
    for op in (Op.ANY_DIMS, Op.ALL_DIMS):
        assert sketch.find(sketch(op, high, None, False)).level is Level.OPAQUE


def test_a_single_number_can_be_squeezed(sketch: Sketch) -> None:
    x = total(sketch, sketch.rows("x"))
    assert sketch.find(sketch(Op.SQUEEZE_DIMS, x, (-1,))).level is Level.AGGREGATE


def test_gradients_by_category_pass_in_training_only_and_never_by_known_categories(sketch: Sketch) -> None:
    grad, word = sketch.rows("x", 3), sketch.rows("word", dtype=DType.INT64)
    grown = sketch(Op.EMBEDDING_DENSE_BACKWARD, grad, word, 5, -1, False)
    assert sketch.find(grown, counted=False).level is Level.AGGREGATE
    assert sketch.find(grown).level is Level.OPAQUE
    known = sketch.public("known", B, dtype=DType.INT64)
    sorted_out = sketch(Op.EMBEDDING_DENSE_BACKWARD, grad, known, 5, -1, False)
    assert sketch.find(sorted_out, counted=False).level is Level.OPAQUE


def test_rows_merge_with_their_neighbours_in_training_and_come_apart_as_they_were(sketch: Sketch) -> None:
    x = sketch.rows("x", 2, 3)
    merged = sketch(Op.VIEW, x, (B * 2, 3))
    assert sketch.find(merged).level is Level.OPAQUE
    assert sketch.find(merged, counted=False).level is Level.ROWS
    apart = sketch(Op.VIEW, merged, (B, 2, 3))
    assert (sketch.find(apart, counted=False).level, sketch.find(apart, counted=False).axis) == (
        Level.ROWS,
        0,
    )
    assert sketch.find(sketch(Op.SUM_DIM_INTLIST, merged, (0,), False, None), counted=False).level is (
        Level.AGGREGATE
    )
    before = sketch(Op.VIEW, sketch(Op.PERMUTE, x, (1, 0, 2)), (2 * B, 3))
    assert sketch.find(sketch(Op.VIEW, before, (2, B, 3)), counted=False).axis == 1
    assert sketch.find(sketch(Op.ADD_TENSOR, merged, before, 1), counted=False).level is Level.OPAQUE
    cut = sketch(Op.VIEW, before, (B, 2, 3))
    assert sketch.find(cut, counted=False).level is Level.OPAQUE
    halves = sketch(Op.VIEW, merged, (2, B, 3))
    assert sketch.find(halves, counted=False).level is Level.OPAQUE
    weighed = sketch(Op.MUL_TENSOR, merged, sketch.public("w", B * 2, 1))
    assert sketch.find(weighed, counted=False).level is Level.OPAQUE


def test_a_row_picks_among_its_own_values_and_never_among_rows(sketch: Sketch) -> None:
    x, own = sketch.rows("x", 3), sketch.rows("own", 1, dtype=DType.INT64)
    assert sketch.find(sketch(Op.GATHER, x, 1, own)).level is Level.ROWS
    assert sketch.find(sketch(Op.GATHER, x, 0, own)).level is Level.OPAQUE
    first = sketch(Op.GATHER, x, 1, sketch.public("first", 1, 1, dtype=DType.INT64))
    assert sketch.find(first).level is Level.OPAQUE
    chosen = sketch(Op.GATHER, x, 1, sketch.public("chosen", B, 1, dtype=DType.INT64))
    assert sketch.find(chosen).level is Level.OPAQUE


# --- masks


def test_a_mask_that_is_used_is_counted(sketch: Sketch) -> None:
    x = sketch.rows("x")
    heavy = sketch(Op.GT_SCALAR, x, 4.0)
    kept = sketch(Op.WHERE_SELF, heavy, x, sketch.public("zero"))
    found = sketch.analyse(total(sketch, kept))
    assert found.findings["y0"].level is Level.AGGREGATE
    assert [(guard.table, guard.rows) for guard in found.guards] == [("ward@1", B)]
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
