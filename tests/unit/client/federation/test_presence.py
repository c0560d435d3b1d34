from datetime import UTC, datetime, timedelta

import pytest

from gridward.client.federation.presence import ago, waiting


def test_a_round_says_who_it_waits_for_and_when_they_were_last_heard_of() -> None:
    seen = {"x": datetime.now(UTC) - timedelta(minutes=4, seconds=10)}
    assert waiting(2, 4, ["y", "x"], seen) == "2 of 4 nodes; x last seen 4 min ago; waiting for y"


@pytest.mark.parametrize(
    ("seconds", "words"), [(-3, "0 s ago"), (59, "59 s ago"), (60, "1 min ago"), (90000, "1 d ago")]
)
def test_times_are_told_in_their_largest_unit(seconds: float, words: str) -> None:
    assert ago(seconds) == words
