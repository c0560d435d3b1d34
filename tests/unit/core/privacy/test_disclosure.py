"""Thresholds as tables of cases: what an answer must hold to leave."""

from dataclasses import replace
from math import inf, nan

import pytest

from gridward.core.privacy.analysis import Finding, Level
from gridward.core.privacy.contributions import Fit, Unfollowed
from gridward.core.privacy.decision import Answer, Counted, Decision, Grant, Reason
from gridward.core.privacy.disclosure import Contributed, Evidence, Thresholds
from gridward.core.privacy.policy import decide, decide_export, decide_keeping, decide_training
from gridward.core.privacy.verdicts import Check, after_run, before_run

SUM = {"y": Finding(Level.AGGREGATE)}
WARD = Grant("d-1@1", "births", frozenset({"discover", "compute"}), 40, 10, entities=40)
FINE = Contributed("d-1@1", 0.2, 5.0, 40)


def decided(grant: Grant, *sums: Contributed, counted: tuple[Counted, ...] = ()) -> Decision:
    return decide(SUM, [grant], counted, finite=True, evidence=Evidence(contributed=sums))


def test_rows_of_nobody_known_give_no_aggregate_until_their_owner_says_whose_they_are() -> None:
    nobody = decided(replace(WARD, entities=None), FINE)
    assert (nobody.answer, nobody.reason) == (Answer.SUPPRESSED, Reason.ENTITIES_UNKNOWN)
    assert "entity column" in nobody.detail
    assert decided(WARD, FINE).answer is Answer.VALUE


@pytest.mark.parametrize(("entities", "answer"), [(10, Answer.VALUE), (9, Answer.SUPPRESSED)])
def test_many_rows_of_few_entities_are_few(entities: int, answer: Answer) -> None:
    decision = decided(
        replace(WARD, rows=1000, entities=entities, most_rows=500), replace(FINE, fewest=entities)
    )
    assert decision.answer is answer
    assert answer is Answer.VALUE or decision.reason is Reason.TOO_FEW_ENTITIES


@pytest.mark.parametrize(
    ("sums", "reason"),
    [
        (Contributed("d-1@1", 0.9, 0.1, 10), Reason.AGGREGATE),
        (Contributed("d-1@1", 0.901, 5.0, 10), Reason.DOMINANCE),
        (Contributed("d-1@1", 0.5, 0.099, 10), Reason.DOMINANCE),
        (Contributed("d-1@1", 0.5, 5.0, 9), Reason.SMALL_GROUP),
        (Contributed("d-1@1", 0.0, inf, inf), Reason.AGGREGATE),
        (Contributed("d-1@1", inf, 0.0, 0), Reason.SMALL_GROUP),
        (Contributed("d-1@1", nan, nan, 40), Reason.DOMINANCE),
        (Contributed("other@1", inf, 0.0, 0), Reason.AGGREGATE),
    ],
)
def test_a_sum_leaves_iff_enough_are_behind_it_and_none_is_too_large(
    sums: Contributed, reason: Reason
) -> None:
    assert decided(WARD, sums).reason is reason
    assert decided(WARD, FINE, sums).reason is reason


def test_what_is_suppressed_says_no_figure_of_the_data() -> None:
    details = {
        decided(WARD, sums).detail
        for sums in (Contributed("d-1@1", 0.95, 5.0, 17), Contributed("d-1@1", 0.97, 0.01, 23))
    }
    assert len(details) == 1
    assert not any(figure in detail for detail in details for figure in ("17", "0.9", "95"))


def test_an_owner_may_change_every_threshold_or_leave_it_out() -> None:
    dominated = Contributed("d-1@1", 0.95, 0.01, 10)
    loose = replace(WARD, thresholds=Thresholds(largest_two=None, p_ratio=None))
    strict = replace(WARD, thresholds=Thresholds(entities=20, largest_two=0.1))
    assert decided(loose, dominated).answer is Answer.VALUE
    assert decided(strict, replace(FINE, largest_two=0.05, fewest=19)).reason is Reason.SMALL_GROUP
    assert decided(strict, FINE).reason is Reason.DOMINANCE


def test_a_mask_is_counted_in_entities_where_rows_are_of_fewer() -> None:
    grant = replace(WARD, entities=25, most_rows=2)
    many_of_few = Counted("d-1@1", 40, (20,), (9, 25))
    assert decided(grant, counted=(many_of_few,)).reason is Reason.SMALL_GROUP
    assert decided(grant, counted=(replace(many_of_few, entities=(10, 25)),)).answer is Answer.VALUE
    assert decided(grant, counted=(replace(many_of_few, entities=(0, 25)),)).answer is Answer.VALUE


def test_a_sum_that_nobody_can_take_apart_is_suppressed_and_blamed() -> None:
    lost = Evidence(unfollowed=[Unfollowed("d-1@1", "step 3 (aten.x)")])
    decision = decide(SUM, [WARD], [], finite=True, evidence=lost)
    assert (decision.reason, decision.detail[:15]) == (Reason.NOT_FOLLOWED, "step 3 (aten.x)")
    loose = replace(WARD, thresholds=Thresholds(largest_two=None, p_ratio=None))
    assert decide(SUM, [loose], [], finite=True, evidence=lost).answer is Answer.VALUE


@pytest.mark.parametrize(("parameters", "leaves"), [(13, True), (14, False), (40, False)])
def test_a_product_that_fits_a_model_leaves_degrees_of_freedom(parameters: int, leaves: bool) -> None:
    fit = Evidence(fits=[Fit("d-1@1", parameters)])
    decision = decide(SUM, [WARD], [], finite=True, evidence=fit)
    assert decision.reason is (Reason.AGGREGATE if leaves else Reason.OVERFITTED)


@pytest.mark.parametrize(
    ("parameters", "entities", "overfits"),
    [(2, 12, False), (2, 11, True), (33, 100, False), (34, 100, True), (0, 9, True)],
)
def test_a_fit_needs_ten_entities_more_than_parameters_and_three_for_each(
    parameters: int, entities: int, overfits: bool
) -> None:
    assert Thresholds().overfits(parameters, entities) is overfits
    assert not Thresholds(residual_degrees=None, parameter_share=None).overfits(parameters, entities)


def test_a_trained_model_leaves_iff_it_cannot_hold_single_rows() -> None:
    taker = replace(WARD, verbs=frozenset({"train", "export_model"}), rows=100, entities=100)
    assert decide_export([taker], 33).answer is Answer.VALUE
    assert decide_export([taker], 34).reason is Reason.OVERFITTED
    assert decide_export([replace(taker, entities=None)], 1).reason is Reason.OVERFITTED
    assert decide_export([replace(taker, verbs=frozenset({"raw"}))], 10**6).answer is Answer.VALUE


def test_a_batch_is_of_enough_entities_however_its_rows_fall() -> None:
    grant = replace(WARD, verbs=frozenset({"train"}), rows=100, entities=40, most_rows=3)
    assert decide_training([grant], fewest_rows=27, refusals=()).answer is Answer.SUPPRESSED
    assert decide_training([grant], fewest_rows=28, refusals=()).answer is Answer.VALUE
    nobody = replace(grant, entities=None)
    assert decide_training([nobody], fewest_rows=90, refusals=()).reason is Reason.ENTITIES_UNKNOWN


def test_what_is_kept_is_looked_at_like_what_leaves() -> None:
    dominated = Evidence(contributed=[Contributed("d-1@1", 0.95, 5.0, 40)])
    assert decide_keeping([WARD], [], dominated).reason is Reason.DOMINANCE
    assert decide_keeping([WARD], []).answer is Answer.VALUE


def test_whoever_decides_reads_every_figure() -> None:
    evidence = Evidence(
        [Contributed("d-1@1", 0.95, 0.05, 9), Contributed("d-1@1", 0.0, inf, inf)],
        [Fit("d-1@1", 20)],
        [Unfollowed("d-1@1", "step 3 (aten.x)")],
    )
    told = [*before_run(SUM, [WARD]), *after_run([WARD], [], evidence, finite=True)]
    failed = {one.check for one in told if not one.passed}
    assert failed == {Check.CONTRIBUTORS, Check.DOMINANCE, Check.P_RATIO, Check.DEGREES, Check.FOLLOWED}
    figures = {one.check: one.figures for one in reversed(told)}
    assert "95.0%" in figures[Check.DOMINANCE]
    assert figures[Check.ENTITIES] == "40 entities, 10 wanted"
