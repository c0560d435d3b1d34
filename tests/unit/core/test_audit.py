"""No entry of a chained log can be changed, taken out, added or moved unnoticed; a head pins its end."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from gridward.core.audit import GENESIS, check_head, digest_of, examine, moment, sign_head
from gridward.core.errors import InvalidInputError

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
Log = list[dict[str, Any]]


def chained(texts: list[str]) -> Log:
    log: Log = []
    previous = GENESIS
    for number, text in enumerate(texts, 1):
        entry = {"id": number, "at": moment(NOON + timedelta(seconds=number)), "actor": "bob", "reason": text}
        previous = entry["digest"] = digest_of(previous, entry)
        log.append(entry)
    return log


LOGS = st.lists(TEXTS, min_size=1, max_size=8).map(chained)


@given(LOGS)
def test_a_log_as_it_was_written_has_no_flaw(log: Log) -> None:
    head = sign_head(KEY, len(log), log[-1]["digest"], NOON)
    verdict = examine(log, [head])
    assert (verdict.count, verdict.digest, verdict.flaws) == (len(log), log[-1]["digest"], ())


@given(LOGS, st.data())
def test_a_changed_entry_is_named(log: Log, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(log) - 1))
    column = data.draw(st.sampled_from(["actor", "reason", "at"]))
    value = data.draw(TEXTS.filter(lambda text: text != log[at][column]))
    log[at] = log[at] | {column: value}
    assert examine(log).flaws == (f"entry {at + 1} is not what was written",)


@given(LOGS.filter(lambda log: len(log) > 1), st.data())
def test_a_changed_entry_with_a_digest_to_fit_shows_in_the_next(log: Log, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(log) - 2))
    log[at]["actor"] = "eve"
    log[at]["digest"] = digest_of(log[at - 1]["digest"] if at else GENESIS, log[at])
    assert examine(log).flaws == (f"entry {at + 2} is not what was written",)


@given(LOGS.filter(lambda log: len(log) > 1), st.data())
def test_an_entry_taken_out_of_the_middle_is_missed(log: Log, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(log) - 2))
    del log[at]
    assert examine(log).flaws == (f"entries {at + 1} to {at + 1} are missing",)


@given(LOGS.filter(lambda log: len(log) > 1), st.data())
def test_entries_that_changed_places_are_noticed(log: Log, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(log) - 2))
    log[at], log[at + 1] = log[at + 1], log[at]
    assert len(examine(log).flaws) >= 2


@given(LOGS, st.data())
def test_an_entry_that_stands_there_twice_is_noticed(log: Log, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(log) - 1))
    log.insert(at, dict(log[at]))
    assert f"entry {at + 1} stands behind entry {at + 1}" in examine(log).flaws


@given(LOGS, st.data())
def test_only_a_head_shows_a_log_that_was_cut_at_its_end(log: Log, data: st.DataObject) -> None:
    head = sign_head(KEY, len(log), log[-1]["digest"], NOON)
    left = log[: data.draw(st.integers(0, len(log) - 1))]
    assert examine(left).flaws == ()
    assert len(examine(left, [head]).flaws) == 1
    assert "were signed on 2026-03-01T12:00" in examine(left, [head]).flaws[0]


def test_only_a_head_shows_a_log_that_was_made_anew() -> None:
    log, forged = chained(["a", "b", "c"]), chained(["a", "x", "c", "d"])
    head = sign_head(KEY, 3, log[-1]["digest"], NOON)
    assert examine(forged).flaws == ()
    assert examine(forged, [head]).flaws == (f"entry 3 is not the one that was signed on {moment(NOON)}",)


def test_a_column_that_is_added_later_changes_no_older_digest() -> None:
    entry = {"id": 1, "at": moment(NOON), "actor": "bob"}
    assert digest_of(GENESIS, entry) == digest_of(GENESIS, entry | {"charge": None, "request": ""})


def test_digests_never_change_between_versions() -> None:
    entry = {"id": 1, "at": moment(NOON), "actor": "bob", "reason": "Maß"}
    assert digest_of(GENESIS, entry) == "f74a220843e9320a7c08aae4812d68751cb9b592c2f8cc1bf7e56f9f53c535b2"


@pytest.mark.parametrize(
    "change",
    [
        {"count": 4},
        {"digest": "1" * 64},
        {"at": NOON + timedelta(microseconds=1)},
        {"signature": "00" * 64},
        {"server": "mfrggzdfmztwq2lknnwg23tpoa"},
    ],
)
def test_a_head_that_was_changed_is_refused(change: dict[str, Any]) -> None:
    head = sign_head(KEY, 3, "0" * 64, NOON)
    check_head(head)
    with pytest.raises(InvalidInputError):
        check_head(head.model_copy(update=change))


def test_a_head_signed_by_another_key_is_refused() -> None:
    head = sign_head(KEY, 3, "0" * 64, NOON)
    other = sign_head(Ed25519PrivateKey.generate(), 3, "0" * 64, NOON)
    for forged in (
        head.model_copy(update={"sign_key": other.sign_key}),
        head.model_copy(update={"signature": other.signature}),
    ):
        with pytest.raises(InvalidInputError):
            check_head(forged)
