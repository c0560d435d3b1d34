"""Every sum over rows has a tally, or is said not to be followed."""

from dataclasses import replace

import pytest

from gridward.core.plans.ops import Op
from gridward.core.plans.plan import DType
from gridward.core.plans.tallies import TallyKind
from gridward.core.privacy import contributions
from gridward.core.privacy.analysis import Unfollowed
from gridward.core.privacy.contributions import Fit
from tests.support.sketches import Sketch


def test_sums_means_and_variances_are_taken_apart_along_their_rows(sketch: Sketch) -> None:
    x = sketch.rows("x", 3)
    found = sketch.analyse(
        sketch(Op.SUM_DIM_INTLIST, x, None, False, None),
        sketch(Op.MEAN_DIM, x, (0,), False, None),
        sketch(Op.VAR_CORRECTION, x, (0,), 1, False),
    )
    assert [(one.kind, one.operands, one.axis, one.over) for one in found.tallies] == [
        (TallyKind.SUM, ("x",), -2, (-2, -1)),
        (TallyKind.SUM, ("x",), -2, (-2,)),
        (TallyKind.SQUARES, ("x",), -2, (-2,)),
    ]
    assert {one.table for one in found.tallies} == {"ward@1"}
    assert found.unfollowed == ()


def test_a_sum_within_rows_has_no_tally(sketch: Sketch) -> None:
    within = sketch(Op.SUM_DIM_INTLIST, sketch.rows("x", 3), (1,), False, None)
    assert sketch.analyse(within).tallies == ()


def test_a_product_over_rows_is_taken_apart_and_may_be_a_fit(sketch: Sketch) -> None:
    x, y = sketch.rows("x", 3), sketch.rows("y", 1)
    xt = sketch(Op.PERMUTE, x, (1, 0))
    found = sketch.analyse(sketch(Op.MM, xt, x), sketch(Op.MM, xt, y))
    assert [one.kind for one in found.tallies] == [TallyKind.PRODUCT, TallyKind.PRODUCT]
    assert found.fits == (Fit("ward@1", 3),)


def test_a_loss_is_not_followed_and_the_step_is_named(sketch: Sketch) -> None:
    scores, labels = sketch.rows("x", 3), sketch.rows("y", dtype=DType.INT64)
    loss = sketch(Op.NLL_LOSS_FORWARD, scores, labels, None, 1, -100, results=2)
    found = sketch.analyse(loss)
    assert found.unfollowed == (Unfollowed("ward@1", "step 0 (aten.nll_loss_forward.default)"),)


def test_a_sum_of_more_contributions_than_are_counted_is_not_followed(
    sketch: Sketch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contributions, "MOST", 59)
    found = sketch.analyse(sketch(Op.MEAN_DIM, sketch.rows("x", 3), (0,), False, None))
    assert (len(found.tallies), len(found.unfollowed)) == (0, 1)


def test_a_mask_that_is_used_has_a_tally_of_both_sides(sketch: Sketch) -> None:
    x = sketch.rows("x")
    mask = sketch(Op.GT_SCALAR, x, 3.0)
    zero = sketch.public("zero")
    kept = sketch(Op.WHERE_SELF, mask, x, zero)
    guard = sketch.analyse(sketch(Op.SUM_DIM_INTLIST, kept, None, False, None)).guards[0]
    assert guard.mask is not None
    assert (guard.mask.kind, guard.mask.operands, guard.mask.axis) == (TallyKind.MASK, (mask.name,), -1)


def test_a_training_step_has_no_tallies(sketch: Sketch) -> None:
    plan = sketch.plan(sketch(Op.MEAN_DIM, sketch.rows("x", 3), (0,), False, None))
    found = sketch.study(replace(plan), counted=False)
    assert (found.tallies, found.unfollowed) == ((), ())
