"""Plans that would carry single rows out under the name of an aggregate: none of them passes."""

from collections.abc import Callable

import pytest

from gridward.core.plans.ops import Op
from gridward.core.plans.plan import DType, Ref
from gridward.core.privacy.analysis import Level
from tests.support.sketches import F64, ROWS, Sketch, mean, total


def _selected(s: Sketch, x: Ref) -> Ref:
    return s(Op.SELECT_INT, x, 0, 0)


def _sliced(s: Sketch, x: Ref) -> Ref:
    return total(s, s(Op.SLICE_TENSOR, x, 0, 0, 1, 1))


def _sliced_with_steps(s: Sketch, x: Ref) -> Ref:
    return total(s, s(Op.SLICE_TENSOR, x, 0, 0, None, ROWS - 1))


def _index_selected(s: Sketch, x: Ref) -> Ref:
    return total(s, s(Op.INDEX_SELECT, x, 0, s.public("i", 1, dtype=DType.INT64)))


def _indexed(s: Sketch, x: Ref) -> Ref:
    return total(s, s(Op.INDEX_TENSOR, x, (s.public("i", 1, dtype=DType.INT64),)))


def _gathered(s: Sketch, x: Ref) -> Ref:
    return total(s, s(Op.GATHER, x, 0, s.public("i", 1, 3, dtype=DType.INT64)))


def _embedded(s: Sketch, x: Ref) -> Ref:
    return s(Op.EMBEDDING, x, s.public("i", 1, dtype=DType.INT64))


def _public_weights(s: Sketch, x: Ref) -> Ref:
    return total(s, s(Op.MUL_TENSOR, x, s.public("w", ROWS, 1)))


def _constant_weights(s: Sketch, x: Ref) -> Ref:
    return total(s, s(Op.MUL_TENSOR, x, s.constant(ROWS, 1)))


def _weights_by_product(s: Sketch, x: Ref) -> Ref:
    return s(Op.MM, s.public("w", 1, ROWS), x)


def _weights_from_aggregate(s: Sketch, x: Ref) -> Ref:
    return s(Op.MM, s.aggregate("w", 1, ROWS), x)


def _one_hot_by_counting(s: Sketch, x: Ref) -> Ref:
    at = s(Op.ARANGE_START_STEP, 0, ROWS, 1, F64)
    hot = s(Op.UNSQUEEZE, s(Op.TO_COPY, s(Op.EQ_SCALAR, at, 3), F64), 1)
    return total(s, s(Op.MUL_TENSOR, x, hot))


def _one_hot_by_padding(s: Sketch, x: Ref) -> Ref:
    hot = s(Op.CONSTANT_PAD_ND, s(Op.FULL, (1, 1), 1.0, F64), (0, 0, 0, ROWS - 1), 0)
    return total(s, s(Op.MUL_TENSOR, x, hot))


def _one_hot_by_joining(s: Sketch, x: Ref) -> Ref:
    hot = s(Op.CAT, (s(Op.FULL, (1, 1), 1.0, F64), s(Op.FULL, (ROWS - 1, 1), 0.0, F64)), 0)
    return total(s, s(Op.MUL_TENSOR, x, hot))


def _weights_by_adding(s: Sketch, x: Ref) -> Ref:
    return total(s, s(Op.EXP, s(Op.ADD_TENSOR, x, s.public("w", ROWS, 1), 1)))


def _weights_by_where(s: Sketch, x: Ref) -> Ref:
    return total(s, s(Op.WHERE_SELF, s.public("w", ROWS, 1, dtype=DType.BOOL), x, s.public("z")))


def _weights_by_counting_the_columns(s: Sketch, x: Ref) -> Ref:
    ones = s(Op.FULL, (ROWS, 1), 1.0, F64)
    ramp = s(Op.CUMSUM, ones, 0, None)
    return total(s, s(Op.MUL_TENSOR, x, ramp))


def _weights_through_view(s: Sketch, x: Ref) -> Ref:
    w = s(Op.VIEW, s(Op.ARANGE_START_STEP, 0, ROWS, 1, F64), (ROWS, 1))
    return total(s, s(Op.MUL_TENSOR, x, w))


def _padding_rows(s: Sketch, x: Ref) -> Ref:
    return total(s, s(Op.CONSTANT_PAD_ND, x, (0, 0, -1, 0), 0))


def _mixing_view(s: Sketch, x: Ref) -> Ref:
    return total(s, s(Op.VIEW, x, (3, ROWS)), 1)


def _flat_view(s: Sketch, x: Ref) -> Ref:
    return s(Op.SELECT_INT, s(Op.VIEW, x, (3 * ROWS,)), 0, 7)


def _split_view(s: Sketch, x: Ref) -> Ref:
    return total(s, s(Op.VIEW, x, (2, ROWS // 2, 3)), 1)


def _cumulative(s: Sketch, x: Ref) -> Ref:
    return total(s, s(Op.CUMSUM, x, 0, None))


def _sum_over_columns(s: Sketch, x: Ref) -> Ref:
    return total(s, x, 1)


def _sum_over_an_axis_of_one(s: Sketch, x: Ref) -> Ref:
    return total(s, s(Op.VIEW, x, (1, ROWS, 3)), 0)


def _mean_over_an_axis_of_one(s: Sketch, x: Ref) -> Ref:
    return mean(s, s(Op.UNSQUEEZE, x, 1), 1)


def _expand_and_select(s: Sketch, x: Ref) -> Ref:
    return s(Op.SELECT_INT, s(Op.EXPAND, x, (2, ROWS, 3)), 0, 0)


def _rows_against_rows(s: Sketch, x: Ref) -> Ref:
    left, right = s(Op.UNSQUEEZE, x, 0), s(Op.UNSQUEEZE, x, 1)
    return total(s, s(Op.SUB_TENSOR, left, right, 1), 0)


def _all_pairs_by_product(s: Sketch, x: Ref) -> Ref:
    return s(Op.MM, x, s(Op.PERMUTE, x, (1, 0)))


def _rows_as_weights_of_columns(s: Sketch, x: Ref) -> Ref:
    return s(Op.MM, s.rows("square", ROWS), x)


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
    picture = s(Op.VIEW, x, (1, 1, ROWS, 3))
    weight = s.public("weight", 1, 1, ROWS, 1)
    return s(Op.CONVOLUTION, picture, weight, None, (1, 1), (0, 0), (1, 1), False, (0, 0), 1)


def _rows_as_filter(s: Sketch, x: Ref) -> Ref:
    weight = s(Op.VIEW, x, (ROWS, 3, 1, 1))
    picture = s.public("picture", 1, 3, 1, 1)
    return s(Op.CONVOLUTION, picture, weight, None, (1, 1), (0, 0), (1, 1), False, (0, 0), 1)


def _pooled_rows(s: Sketch, x: Ref) -> Ref:
    picture = s(Op.VIEW, x, (1, 1, ROWS, 3))
    return s(Op.AVG_POOL2D, picture, (2, 1), (2, 1), (0, 0), False, True, None)


def _layer_norm_over_rows(s: Sketch, x: Ref) -> Ref:
    return s(Op.NATIVE_LAYER_NORM, x, (ROWS, 3), None, None, 1e-5, results=3)


def _rows_merged_by_a_size_that_a_mask_makes(s: Sketch, x: Ref) -> Ref:
    kept = s(Op.INDEX_TENSOR, s.public("w", ROWS), (s.public("m", ROWS, dtype=DType.BOOL),))
    wide = s(Op.MUL_TENSOR, s(Op.UNSQUEEZE, s.rows("y"), 1), kept)
    return total(s, s(Op.VIEW, wide, (-1, ROWS)), 0)


def _rows_merged_by_a_size_that_bytes_make(s: Sketch, x: Ref) -> Ref:
    kept = s(Op.INDEX_TENSOR, s.public("w", ROWS), (s.public("m", ROWS, dtype=DType.UINT8),))
    wide = s(Op.MUL_TENSOR, s(Op.UNSQUEEZE, s.rows("y"), 1), kept)
    return total(s, s(Op.VIEW, wide, (-1, ROWS)), 0)


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
    known = sketch.public("known", ROWS, dtype=DType.INT64)
    sorted_out = sketch(Op.EMBEDDING_DENSE_BACKWARD, grad, known, 5, -1, False)
    assert sketch.find(sorted_out, counted=False).level is Level.OPAQUE


def test_rows_merge_with_their_neighbours_in_training_and_come_apart_as_they_were(sketch: Sketch) -> None:
    x = sketch.rows("x", 2, 3)
    merged = sketch(Op.VIEW, x, (ROWS * 2, 3))
    assert sketch.find(merged).level is Level.OPAQUE
    assert sketch.find(merged, counted=False).level is Level.ROWS
    apart = sketch(Op.VIEW, merged, (ROWS, 2, 3))
    assert (sketch.find(apart, counted=False).level, sketch.find(apart, counted=False).axis) == (
        Level.ROWS,
        0,
    )
    assert sketch.find(sketch(Op.SUM_DIM_INTLIST, merged, (0,), False, None), counted=False).level is (
        Level.AGGREGATE
    )
    before = sketch(Op.VIEW, sketch(Op.PERMUTE, x, (1, 0, 2)), (2 * ROWS, 3))
    assert sketch.find(sketch(Op.VIEW, before, (2, ROWS, 3)), counted=False).axis == 1
    assert sketch.find(sketch(Op.ADD_TENSOR, merged, before, 1), counted=False).level is Level.OPAQUE
    cut = sketch(Op.VIEW, before, (ROWS, 2, 3))
    assert sketch.find(cut, counted=False).level is Level.OPAQUE
    halves = sketch(Op.VIEW, merged, (2, ROWS, 3))
    assert sketch.find(halves, counted=False).level is Level.OPAQUE
    weighed = sketch(Op.MUL_TENSOR, merged, sketch.public("w", ROWS * 2, 1))
    assert sketch.find(weighed, counted=False).level is Level.OPAQUE


def test_a_row_picks_among_its_own_values_and_never_among_rows(sketch: Sketch) -> None:
    x, own = sketch.rows("x", 3), sketch.rows("own", 1, dtype=DType.INT64)
    assert sketch.find(sketch(Op.GATHER, x, 1, own)).level is Level.ROWS
    assert sketch.find(sketch(Op.GATHER, x, 0, own)).level is Level.OPAQUE
    first = sketch(Op.GATHER, x, 1, sketch.public("first", 1, 1, dtype=DType.INT64))
    assert sketch.find(first).level is Level.OPAQUE
    chosen = sketch(Op.GATHER, x, 1, sketch.public("chosen", ROWS, 1, dtype=DType.INT64))
    assert sketch.find(chosen).level is Level.OPAQUE
