"""Decisions as tables of cases."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridward.core.privacy.access import Way
from gridward.core.privacy.analysis import Finding, Level
from gridward.core.privacy.approvals import Outcome, Request, Terms
from gridward.core.privacy.decision import Answer, Asked, Counted, Grant, Reason
from gridward.core.privacy.disclosure import DEFAULTS, Contributed, Evidence
from gridward.core.privacy.policy import (
    decide,
    decide_export,
    decide_keeping,
    decide_training,
    meet,
    settle_training,
)

SUM = {"y": Finding(Level.AGGREGATE)}
ROWS = {"y": Finding(Level.ROWS, table="d-1@1")}
OPAQUE = {"y": Finding(Level.OPAQUE, reason="step 0 (aten.select.int): it selects, reorders or merges rows")}
VERBS = frozenset({"discover", "compute", "raw", "train", "export_model"})


def grant(*verbs: str, table: str = "d-1@1", rows: int = 20, min_rows: int = 10) -> Grant:
    return Grant(table, "births", frozenset(verbs), rows, min_rows, entities=rows)


@pytest.mark.parametrize(
    ("findings", "verbs", "answer", "reason"),
    [
        (SUM, (), Answer.REFUSED, Reason.NO_ACCESS),
        (SUM, ("discover",), Answer.REFUSED, Reason.NO_ACCESS),
        (SUM, ("discover", "train", "export_model"), Answer.REFUSED, Reason.NO_ACCESS),
        (SUM, ("compute",), Answer.VALUE, Reason.AGGREGATE),
        (ROWS, ("compute",), Answer.REFUSED, Reason.NOT_AN_AGGREGATE),
        (OPAQUE, ("compute",), Answer.REFUSED, Reason.NOT_AN_AGGREGATE),
        (ROWS, ("raw",), Answer.VALUE, Reason.RAW_ACCESS),
        (OPAQUE, ("raw",), Answer.VALUE, Reason.RAW_ACCESS),
    ],
)
def test_the_answer_follows_from_access_and_from_what_the_plan_takes(
    findings: dict[str, Finding], verbs: tuple[str, ...], answer: Answer, reason: Reason
) -> None:
    decision = decide(findings, [grant(*verbs)], [], finite=True)
    assert (decision.answer, decision.reason) == (answer, reason)


def test_an_aggregate_over_too_few_rows_is_suppressed_but_not_for_those_who_may_read() -> None:
    few = decide(SUM, [grant("compute", rows=9)], [], finite=True)
    assert (few.answer, few.reason) == (Answer.SUPPRESSED, Reason.TOO_FEW_ROWS)
    assert "9 " not in few.detail
    assert decide(SUM, [grant("raw", rows=9)], [], finite=True).answer is Answer.VALUE


def test_the_demo_ward_of_five_is_open_by_its_owners_word() -> None:
    assert decide(SUM, [grant("compute", rows=5, min_rows=5)], [], finite=True).answer is Answer.VALUE


@given(count=st.integers(0, 40), min_rows=st.integers(1, 30))
def test_a_mask_passes_iff_both_sides_are_empty_or_large_enough(count: int, min_rows: int) -> None:
    guard = Counted("d-1@1", 40, (count,))
    decision = decide(SUM, [grant("compute", rows=40, min_rows=min_rows)], [guard], finite=True)
    wanted = all(side == 0 or side >= min_rows for side in (count, 40 - count))
    assert (decision.answer is Answer.VALUE) == wanted
    assert wanted or decision.reason is Reason.SMALL_GROUP


def test_one_small_column_of_a_mask_suppresses_all() -> None:
    guard = Counted("d-1@1", 40, (20, 3, 20))
    assert decide(SUM, [grant("compute", rows=40)], [guard], finite=True).answer is Answer.SUPPRESSED


def test_a_result_that_is_not_finite_is_suppressed() -> None:
    decision = decide(SUM, [grant("compute")], [], finite=False)
    assert (decision.answer, decision.reason) == (Answer.SUPPRESSED, Reason.NOT_FINITE)
    assert decide(SUM, [], [], finite=False).answer is Answer.VALUE


def test_rows_of_a_dataset_that_the_caller_may_read_pass_beside_an_aggregate_of_another() -> None:
    grants = [grant("raw", table="mine@1"), grant("compute")]
    assert decide({"y": Finding(Level.ROWS, "mine@1")}, grants, [], finite=True).answer is Answer.VALUE
    assert decide(ROWS, grants, [], finite=True).answer is Answer.REFUSED
    assert decide(OPAQUE, grants, [], finite=True).answer is Answer.REFUSED


@given(st.lists(st.frozensets(st.sampled_from(sorted(VERBS))), min_size=1, max_size=4))
def test_a_derived_value_allows_what_all_its_inputs_allow(verbs: list[frozenset[str]]) -> None:
    grants = [grant(*some, table=f"d-{at}@1") for at, some in enumerate(verbs)]
    together = meet(grants)
    assert together is not None
    assert all(together <= some for some in verbs)
    raw_everywhere = all("raw" in some for some in verbs)
    assert (decide(OPAQUE, grants, [], finite=True).answer is Answer.VALUE) == raw_everywhere


def test_training_needs_its_verb_a_proof_and_full_batches() -> None:
    assert decide_training([grant("compute", "raw")], fewest_rows=20, refusals=()).answer is Answer.REFUSED
    assert decide_training([grant("train")], fewest_rows=20, refusals=("w: why",)).answer is Answer.REFUSED
    assert decide_training([grant("train")], fewest_rows=9, refusals=()).answer is Answer.SUPPRESSED
    assert decide_training([grant("train")], fewest_rows=10, refusals=()).answer is Answer.VALUE


def test_training_does_not_include_taking_the_model_away() -> None:
    assert decide_export([grant("train", "compute")], 0).answer is Answer.REFUSED
    assert decide_export([grant("export_model"), grant("train")], 0).answer is Answer.REFUSED
    assert decide_export([grant("export_model")], 0).answer is Answer.VALUE
    assert decide_export([], 0).reason is Reason.PUBLIC


NOW = datetime(2026, 3, 1, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def asked(*requests: Request, asker: str = "ana", question: str = "q@1", standing: str = "q") -> Asked:
    return Asked(asker, question, standing, NOW, requests)


def request(outcome: Outcome = Outcome.APPROVED, question: str = "q@1", asker: str = "ana") -> Request:
    return Request("req-1", asker, question, outcome, LATER, Terms(1))


@pytest.mark.parametrize(
    ("question", "answer", "reason"),
    [
        (asked(), Answer.REFUSED, Reason.NOT_AN_AGGREGATE),
        (asked(request()), Answer.VALUE, Reason.APPROVED),
        (asked(request(Outcome.OPEN)), Answer.PENDING, Reason.WAITING),
        (asked(request(Outcome.DENIED)), Answer.REFUSED, Reason.NOT_AN_AGGREGATE),
        (asked(request(Outcome.REVOKED)), Answer.REFUSED, Reason.NOT_AN_AGGREGATE),
        (asked(request(question="q@2")), Answer.REFUSED, Reason.NOT_AN_AGGREGATE),
        (asked(request(asker="eve")), Answer.REFUSED, Reason.NOT_AN_AGGREGATE),
        (asked(request(Outcome.OPEN), request()), Answer.VALUE, Reason.APPROVED),
    ],
)
def test_an_approval_opens_its_own_question_to_its_own_asker_and_nothing_else(
    question: Asked, answer: Answer, reason: Reason
) -> None:
    decision = decide(ROWS, [grant("discover", "compute")], [], finite=True, asked=question)
    assert (decision.answer, decision.reason) == (answer, reason)
    assert bool(decision.request) == (reason in (Reason.APPROVED, Reason.WAITING))


def test_an_approval_opens_what_a_check_suppressed_since_a_person_saw_its_figures() -> None:
    few = grant("discover", "compute", rows=5)
    assert decide(SUM, [few], [], finite=True).answer is Answer.SUPPRESSED
    assert decide(SUM, [few], [], finite=True, asked=asked(request())).reason is Reason.APPROVED


def test_what_the_rules_give_takes_no_approval() -> None:
    decision = decide(SUM, [grant("discover", "compute")], [], finite=True, asked=asked(request()))
    assert (decision.reason, decision.request) == (Reason.AGGREGATE, "")


def test_no_approval_opens_a_dataset_that_is_hidden_by_now() -> None:
    open_, hidden = grant("discover"), grant(table="d-2@1")
    decision = decide(ROWS, [open_, hidden], [], finite=True, asked=asked(request()))
    assert decision.answer is Answer.REFUSED


def test_a_standing_rule_opens_a_question_iff_every_dataset_has_it() -> None:
    ruled = replace(grant("discover"), standing=frozenset({"q"}))
    other = grant("discover", table="d-2@1")
    assert decide(ROWS, [ruled], [], finite=True, asked=asked()).reason is Reason.STANDING_RULE
    assert decide(ROWS, [ruled], [], finite=True).answer is Answer.REFUSED
    assert decide(ROWS, [ruled], [], finite=True, asked=asked(standing="p")).answer is Answer.REFUSED
    assert decide(ROWS, [ruled, other], [], finite=True, asked=asked()).answer is Answer.REFUSED
    mine = grant("discover", "raw", table="d-2@1")
    assert decide(ROWS, [ruled, mine], [], finite=True, asked=asked()).reason is Reason.STANDING_RULE


def test_a_refusal_says_how_to_ask_where_the_owner_takes_requests() -> None:
    assert '.request("why")' in decide(ROWS, [grant("compute")], [], finite=True).detail
    silent = replace(grant("compute"), reviewers=0)
    assert "takes no requests" in decide(ROWS, [silent], [], finite=True).detail


COUNTED, STRICT = Way("compute", 0, "r-1"), Way("compute", 30)
RAW_ONCE = Way("raw", 0, "r-2")
MANY = Way("compute", min_entities=15)


def led(*ways: Way, verbs: tuple[str, ...] = ("discover",), rows: int = 40) -> Grant:
    return replace(grant(*verbs, rows=rows), ways=ways)


@pytest.mark.parametrize(
    ("findings", "found", "counted", "reason", "uses"),
    [
        (SUM, led(COUNTED), (), Reason.AGGREGATE, ("r-1",)),
        (SUM, led(STRICT, COUNTED), (), Reason.AGGREGATE, ()),
        (SUM, led(STRICT, COUNTED), (20,), Reason.AGGREGATE, ("r-1",)),
        (SUM, led(STRICT), (20,), Reason.SMALL_GROUP, ()),
        (SUM, led(STRICT, rows=20), (), Reason.TOO_FEW_ROWS, ()),
        (SUM, led(MANY), (20,), Reason.AGGREGATE, ()),
        (SUM, led(MANY), (14,), Reason.SMALL_GROUP, ()),
        (SUM, led(MANY, COUNTED), (14,), Reason.AGGREGATE, ("r-1",)),
        (SUM, led(MANY, rows=14), (), Reason.TOO_FEW_ENTITIES, ()),
        (SUM, led(COUNTED, RAW_ONCE), (), Reason.AGGREGATE, ("r-1",)),
        (SUM, led(COUNTED, RAW_ONCE), (2,), Reason.RAW_ACCESS, ("r-2",)),
        (ROWS, led(COUNTED, RAW_ONCE), (), Reason.RAW_ACCESS, ("r-2",)),
        (ROWS, led(RAW_ONCE, verbs=("discover", "compute")), (), Reason.RAW_ACCESS, ("r-2",)),
        (SUM, led(RAW_ONCE, verbs=("discover", "compute")), (), Reason.AGGREGATE, ()),
        (ROWS, led(COUNTED), (), Reason.NOT_AN_AGGREGATE, ()),
    ],
)
def test_what_costs_nothing_is_tried_before_what_is_counted(
    findings: dict[str, Finding],
    found: Grant,
    counted: tuple[int, ...],
    reason: Reason,
    uses: tuple[str, ...],
) -> None:
    groups = [Counted(found.table, found.rows, counted)] if counted else []
    decision = decide(findings, [found], groups, finite=True)
    assert (decision.reason, decision.uses) == (reason, uses)


def test_every_dataset_behind_a_value_is_counted_by_its_own_rule() -> None:
    other = replace(led(Way("compute", 0, "r-9")), table="d-2@1")
    decision = decide(SUM, [led(COUNTED), other], [], finite=True)
    assert (decision.answer, decision.uses) == (Answer.VALUE, ("r-1", "r-9"))


def test_a_standing_rule_goes_before_a_counted_one() -> None:
    asked = Asked("usr-1", "q", "s", datetime(2026, 3, 1, tzinfo=UTC))
    found = replace(led(RAW_ONCE), standing=frozenset({"s"}))
    decision = decide(ROWS, [found], [], finite=True, asked=asked)
    assert (decision.reason, decision.uses) == (Reason.STANDING_RULE, ())


def test_counted_or_conditional_rights_take_no_model_away() -> None:
    assert decide_export([led(RAW_ONCE)], 0).answer is Answer.REFUSED


def test_a_training_runs_by_the_first_rule_that_its_batches_fit() -> None:
    ways = (Way("train", 30), Way("train", 0, "r-3"))
    for fewest, uses, rows in ((30, (), 30), (20, ("r-3",), 10)):
        settled = settle_training([led(*ways)], fewest_rows=fewest)
        decision = decide_training(settled, fewest_rows=fewest, refusals=())
        assert (decision.answer, decision.uses, settled[0].min_rows) == (Answer.VALUE, uses, rows)


def test_what_is_kept_passes_the_strictest_rule() -> None:
    kept = [Counted("d-1@1", 40, (20,))]
    assert decide_keeping([led(COUNTED)], kept).answer is Answer.VALUE
    assert decide_keeping([led(COUNTED, STRICT)], kept).answer is Answer.SUPPRESSED
    assert decide_keeping([led(MANY)], kept).answer is Answer.VALUE
    assert decide_keeping([led(Way("compute", min_entities=21), COUNTED)], kept).answer is Answer.SUPPRESSED


@given(
    own=st.none() | st.integers(1, 30),
    asked=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=3),
    entities=st.integers(0, 40),
    behind=st.integers(0, 40),
)
def test_a_rule_never_gives_a_value_of_fewer_entities_than_it_or_the_dataset_asks_for(
    own: int | None, asked: list[tuple[int, int]], entities: int, behind: int
) -> None:
    ways = (Way("compute", rows, min_entities=people) for rows, people in asked)
    found = replace(led(*ways), entities=entities, thresholds=replace(DEFAULTS, entities=own))
    evidence = Evidence([Contributed(found.table, 0.1, 1.0, behind)])
    wanted = any(
        min(entities, behind) >= max(people, own or max(rows, found.min_rows)) for rows, people in asked
    )
    decision = decide(SUM, [found], [], finite=True, evidence=evidence)
    assert (decision.answer is Answer.VALUE) == wanted


def test_where_nobody_knows_whose_the_rows_are_no_count_of_them_is_believed() -> None:
    gone = Evidence([Contributed("d-1@1", 0.1, 1.0, 40)], unnumbered=frozenset({"d-1@1"}))
    for counted, evidence in (([], gone), ([Counted("d-1@1", 40, (20,))], replace(gone, contributed=()))):
        decision = decide(SUM, [grant("compute", rows=40)], counted, finite=True, evidence=evidence)
        assert (decision.answer, decision.reason) == (Answer.SUPPRESSED, Reason.ENTITIES_UNKNOWN)
        assert decide_keeping([grant("compute", rows=40)], counted, evidence).answer is Answer.SUPPRESSED
    made_before = replace(gone, contributed=())
    assert decide(SUM, [grant("compute")], [], finite=True, evidence=made_before).answer is Answer.VALUE


def test_a_batch_is_as_large_as_the_entities_that_a_rule_asks_for() -> None:
    found = replace(led(Way("train", min_entities=12)), most_rows=3)
    (settled,) = settle_training([found], fewest_rows=33)
    assert settled.fewest_batch == 34
    assert decide_training([settled], fewest_rows=33, refusals=()).reason is Reason.TOO_FEW_ROWS
