"""What may pass, and every way that we know to smuggle a row out, each refused by name."""

from gridward.core.plans.ops import Op
from gridward.core.privacy.analysis import Level
from gridward.core.privacy.rules import RULES
from tests.support.sketches import F64, ROWS, Sketch, mean, total


def test_every_op_has_a_rule() -> None:
    assert set(RULES) == set(Op)


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
    ones = sketch(Op.FULL, (ROWS, 1), 1.0, F64)
    design = sketch(Op.CAT, (x, ones), 1)
    gram = sketch(Op.MM, sketch(Op.PERMUTE, design, (1, 0)), design)
    assert sketch.find(gram).level is Level.AGGREGATE


def test_a_view_that_keeps_the_row_axis_keeps_rows(sketch: Sketch) -> None:
    x = sketch.rows("x", 2, 6)
    for shape in ((ROWS, 12), (ROWS, 1, 12), (1, ROWS, 12), (ROWS, 2, 2, 3)):
        found = sketch.find(sketch(Op.VIEW, x, shape))
        assert (found.level, found.axis) == (Level.ROWS, shape.index(ROWS))


def test_the_row_axis_is_followed_by_name_where_another_has_its_size(sketch: Sketch) -> None:
    x, w = sketch.rows("x", ROWS), sketch.public("w", ROWS, ROWS)
    h = sketch(Op.MM, x, w)
    assert sketch.find(total(sketch, h, 0)).level is Level.AGGREGATE
    assert sketch.find(total(sketch, h, 1)).level is Level.ROWS
    turned = sketch(Op.PERMUTE, h, (1, 0))
    assert sketch.find(total(sketch, turned, 0)).level is Level.ROWS
    assert sketch.find(total(sketch, turned, 1)).level is Level.AGGREGATE
    assert sketch.find(sketch(Op.ADD_TENSOR, h, sketch.public("b", ROWS), 1)).level is Level.ROWS
