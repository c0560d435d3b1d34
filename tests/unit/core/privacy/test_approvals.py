"""People's decisions as tables of cases and laws."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridward.core.privacy.approvals import Need, Outcome, Request, Status, Terms, Vote, agree, became

NOW = datetime(2026, 3, 1, tzinfo=UTC)
EARLIER, LATER = NOW - timedelta(hours=1), NOW + timedelta(hours=1)
ONCE = Terms(1)


def request(outcome: Outcome, terms: Terms = ONCE, used: int = 0, expires_at: datetime = LATER) -> Request:
    return Request("req-1", "ana", "q", outcome, expires_at, terms, used)


@pytest.mark.parametrize(
    ("found", "status"),
    [
        (request(Outcome.OPEN), Status.PENDING),
        (request(Outcome.OPEN, expires_at=NOW), Status.EXPIRED),
        (request(Outcome.DENIED), Status.DENIED),
        (request(Outcome.DENIED, expires_at=EARLIER), Status.DENIED),
        (request(Outcome.REVOKED, used=1), Status.REVOKED),
        (request(Outcome.APPROVED), Status.APPROVED),
        (request(Outcome.APPROVED, expires_at=EARLIER), Status.APPROVED),
        (request(Outcome.APPROVED, used=1), Status.USED_UP),
        (request(Outcome.APPROVED, Terms(3), used=2), Status.APPROVED),
        (request(Outcome.APPROVED, Terms(None, LATER), used=99), Status.APPROVED),
        (request(Outcome.APPROVED, Terms(None, NOW)), Status.EXPIRED),
        (request(Outcome.APPROVED, Terms(1, EARLIER), used=1), Status.USED_UP),
        (request(Outcome.APPROVED, Terms(None, None, standing=True), used=9), Status.APPROVED),
    ],
)
def test_where_a_request_stands_follows_from_what_was_decided_and_the_time(
    found: Request, status: Status
) -> None:
    assert found.status(NOW) is status


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (request(Outcome.OPEN), "waits for a decision"),
        (request(Outcome.OPEN, expires_at=NOW), "was not decided in its time; ask anew"),
        (request(Outcome.DENIED), "was denied; node.requests['req-1'] says why"),
        (request(Outcome.APPROVED, used=1), "was approved once, and that answer was given; ask anew"),
        (request(Outcome.APPROVED, Terms(3), used=3), "was approved 3 times, and all of these answers"),
        (request(Outcome.APPROVED, Terms(None, NOW)), "was approved for a time that is over; ask anew"),
    ],
)
def test_its_asker_is_told_what_became_of_a_request(found: Request, said: str) -> None:
    assert said in became(found, NOW)


def vote(voter: str, *opens: str, terms: Terms = ONCE) -> Vote:
    return Vote(voter, frozenset(opens), terms)


@pytest.mark.parametrize(
    ("votes", "needs", "agreed"),
    [
        ([], [Need("a", 1)], False),
        ([vote("bob", "a")], [Need("a", 1)], True),
        ([vote("bob", "a")], [], False),
        ([vote("bob", "a")], [Need("a", 0)], False),
        ([vote("carl")], [Need("a", 1)], False),
        ([vote("bob", "a")], [Need("a", 2)], False),
        ([vote("bob", "a"), vote("bob", "a")], [Need("a", 2)], False),
        ([vote("bob", "a"), vote("carl")], [Need("a", 2)], True),
        ([vote("carl"), vote("dora")], [Need("a", 2)], False),
        ([vote("bob", "a")], [Need("a", 1), Need("b", 1)], False),
        ([vote("bob", "a"), vote("beth", "b")], [Need("a", 1), Need("b", 1)], True),
    ],
)
def test_a_yes_counts_when_every_dataset_has_who_may_open_it_and_enough_people(
    votes: list[Vote], needs: list[Need], agreed: bool
) -> None:
    assert (agree(votes, needs) is not None) == agreed


terms = st.builds(
    Terms,
    st.none() | st.integers(1, 5),
    st.none() | st.sampled_from([EARLIER, NOW, LATER]),
    st.booleans(),
)


@given(terms, terms, st.integers(0, 6), st.sampled_from([EARLIER - timedelta(1), NOW, LATER]))
def test_two_peoples_terms_allow_what_both_of_them_allow(
    one: Terms, other: Terms, used: int, now: datetime
) -> None:
    def opens(terms: Terms) -> bool:
        return request(Outcome.APPROVED, terms, used).status(now) is Status.APPROVED

    met = one.meet(other)
    assert opens(met) == (opens(one) and opens(other))
    assert met.standing == (one.standing and other.standing)
    assert met == other.meet(one)
