"""Rules as tables of cases, and a law: what they give is what each of them says by itself."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridward.core.privacy.access import Rights, Rule, Way, applies, concerns, rights

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LATER, EARLIER = NOW + timedelta(seconds=1), NOW - timedelta(seconds=1)
ANA = frozenset({"ana", "@signed-in", "role:data_scientist", "group:ward"})


def ruled(verb: str = "compute", entry: str = "ana", id: str = "r", **conditions: object) -> Rule:
    return Rule(id, verb, entry, **conditions)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "lasts", "gives"),
    [
        (ruled(), True, True),
        (ruled(entry="eve"), False, False),
        (ruled(entry="group:ward"), True, True),
        (ruled(entry="group:other"), False, False),
        (ruled(until=LATER), True, True),
        (ruled(until=NOW), False, False),
        (ruled(until=EARLIER), False, False),
        (ruled(times=2, used=1), True, True),
        (ruled(times=2, used=2), True, False),
        (ruled(plan="a"), True, True),
        (ruled(plan="c"), True, False),
    ],
)
def test_a_rule_gives_its_verb_where_every_condition_is_met(one: Rule, lasts: bool, gives: bool) -> None:
    assert concerns(one, ANA, NOW) == lasts
    assert applies(one, ANA, NOW, {"a", "b"}) == gives
    assert not applies(one, frozenset(), NOW, {"a", "b"})


def test_what_no_rule_gives_is_not_given() -> None:
    assert rights([], ANA, NOW) == Rights()
    assert rights([ruled(entry="eve")], ANA, NOW) == Rights()


def test_a_rule_that_lasts_lets_the_data_be_found_even_when_it_is_used_up() -> None:
    spent = ruled(times=1, used=1)
    assert rights([spent], ANA, NOW) == Rights(frozenset({"discover", "describe"}))
    assert rights([ruled(until=NOW)], ANA, NOW) == Rights()


def test_a_verb_without_conditions_needs_no_other_way() -> None:
    rest = [ruled(times=3), ruled(id="s", min_rows=50), ruled(id="u", min_entities=50)]
    found = rights([*rest, ruled(id="t")], ANA, NOW)
    assert found == Rights(frozenset({"discover", "describe", "compute"}))
    assert found.uses("compute") == ()
    assert found.uses("raw") is None


@pytest.mark.parametrize("condition", ["min_rows", "min_entities", "times"])
def test_a_rule_that_asks_for_something_gives_a_way_and_no_verb(condition: str) -> None:
    found = rights([ruled(**{condition: 20})], ANA, NOW)
    assert "compute" not in found.verbs
    assert [way.verb for way in found.ways] == ["compute"]


def test_ways_that_cost_nothing_come_first_and_then_the_least_strict_and_the_soonest_over() -> None:
    found = rights(
        [
            ruled(id="d", times=1),
            ruled(id="c", times=1, until=LATER),
            ruled(id="b", times=1, min_rows=5),
            ruled(id="a", min_rows=90),
            ruled(id="e", min_rows=90, min_entities=20),
        ],
        ANA,
        NOW,
    )
    assert found.ways == (
        Way("compute", 90),
        Way("compute", 90, min_entities=20),
        Way("compute", 0, "c"),
        Way("compute", 0, "d"),
        Way("compute", 5, "b"),
    )
    assert found.all_verbs == {"discover", "describe", "compute"}
    assert rights([ruled(id="d", times=1)], ANA, NOW).uses("compute") == ("d",)


rules_ = st.builds(
    Rule,
    st.uuids().map(str),
    st.sampled_from(["discover", "compute", "raw"]),
    st.sampled_from(["ana", "eve", "group:ward", "@signed-in"]),
    st.sampled_from([None, EARLIER, LATER]),
    st.sampled_from([None, 1, 2]),
    st.integers(0, 2),
    st.sampled_from([None, "a", "c"]),
    st.sampled_from([0, 20]),
    st.sampled_from([0, 20]),
)


@given(st.lists(rules_, max_size=8))
def test_verbs_and_ways_are_those_that_some_rule_gives_by_itself(some: list[Rule]) -> None:
    found = rights(some, ANA, NOW, {"a"})
    alone = [rights([one], ANA, NOW, {"a"}) for one in some]
    assert found.all_verbs == frozenset().union(*(each.all_verbs for each in alone))
    assert found.verbs == frozenset().union(*(each.verbs for each in alone))
    assert set(found.ways) == {way for each in alone for way in each.ways if way.verb not in found.verbs}
