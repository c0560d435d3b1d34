"""Pages of the audit log: who reads it, what is found, that it is whole, and how it is taken away."""

import json

import pytest
from markupsafe import escape
from sqlmodel import text

from gridward.core.audit import examine
from tests.support.nodes import PASSWORD, NodeUnderTest
from tests.support.visitors import BROWSER, Visitor, text_of

CANARY = "<script>alert(1)</script>{{7*7}}"


@pytest.fixture
def bob(node: NodeUnderTest) -> Visitor:
    return Visitor(node.client, "bob")


@pytest.mark.parametrize(
    ("role", "reads"),
    [("admin", True), ("compliance_officer", True), ("data_officer", False), ("guest", False)],
)
def test_only_those_who_may_read_the_log_see_it(node: NodeUnderTest, role: str, reads: bool) -> None:
    node.as_("ana", role)
    ana = Visitor(node.client, "ana")
    assert ('href="/audit"' in ana.shows("/")) is reads
    for path in ("/audit", "/audit/verdict"):
        assert ana.get(path).status_code == (200 if reads else 403)
    assert ana.send("/audit/export").status_code == (200 if reads else 403)


def test_names_that_strangers_gave_are_shown_as_words(bob: Visitor, node: NodeUnderTest) -> None:
    form = {"username": CANARY, "password": "wrong wrong wrong"}
    assert node.client.post("/sign-in", data=form, headers=BROWSER).status_code == 401
    page = bob.shows("/audit")
    assert str(escape(CANARY)) in page
    assert "<script>alert" not in page
    found = bob.client.get("/audit", params={"subject": CANARY}, headers=BROWSER).text
    assert "<script>alert" not in found
    assert "refused" in text_of(found)
    odd = bob.client.get(
        "/audit", params={"actor": f'"><img src=x onerror=alert(1)>{CANARY}'}, headers=BROWSER
    )
    assert "<img src=x" not in odd.text


def test_entries_are_found_by_all_that_is_asked_for(bob: Visitor, node: NodeUnderTest) -> None:
    node.as_("ana")
    every = text_of(bob.shows("/audit?actor=&action=&subject=&decision=&since=&until="))
    assert "create user" in every
    assert "sign in" in every
    one = text_of(bob.shows("/audit?actor=bob&action=create_user&subject=ana&decision=done"))
    assert "create user" in one
    assert "setup" not in one
    assert "No entry fits" in bob.shows("/audit?since=2001-01-01T00:00&until=2001-01-02T00:00")
    assert "create user" in text_of(bob.shows("/audit?since=2001-01-01T00:00"))
    assert "create user" not in text_of(bob.shows("/audit?until=2001-01-01T00:00"))


@pytest.mark.parametrize("query", ["since=yesterday", "before=0", "before=x", f"actor={'a' * 81}"])
def test_a_search_that_means_nothing_is_refused(bob: Visitor, query: str) -> None:
    answer = bob.get(f"/audit?{query}")
    assert answer.status_code == 422
    assert answer.text.startswith("<!doctype html>")


def test_a_long_log_is_paged_and_keeps_the_search(bob: Visitor, node: NodeUnderTest) -> None:
    for at in range(60):
        body = {"username": f"dana{at:02}@grid", "role": "guest"}
        node.client.post("/v1/users", json=body, headers=node.as_("bob"))
    first = bob.shows("/audit?action=create_user&since=2001-01-01T00:00")
    assert ("dana59@grid" in first, "dana00@grid" in first) == (True, False)
    earlier = first.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")
    assert "action=create_user" in earlier
    assert "since=2001" in earlier
    second = bob.shows(earlier)
    assert ("dana59@grid" in second, "dana00@grid" in second) == (False, True)
    assert 'rel="next"' not in second


def test_the_check_finds_an_entry_that_was_changed(bob: Visitor, node: NodeUnderTest) -> None:
    assert "All is well" in bob.shows("/audit/verdict")
    with node.node.database.write() as db:
        if db.get_bind().dialect.name == "sqlite":
            triggers = db.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all()
            for (name,) in triggers:
                db.execute(text(f"DROP TRIGGER {name}"))
        else:
            db.execute(text("ALTER TABLE audit_entries DISABLE TRIGGER USER"))
        db.execute(text("UPDATE audit_entries SET actor = 'eve' WHERE id = 1"))
    page = bob.shows("/audit/verdict")
    assert "The log is not whole" in page
    assert "All is well" not in page


def test_the_log_is_taken_away_whole_and_that_is_an_entry(bob: Visitor) -> None:
    answer = bob.sends("/audit/export")
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.headers["content-disposition"].startswith("attachment; filename=")
    *entries, head = [json.loads(line) for line in answer.text.splitlines()]
    assert head["count"] == len(entries)
    assert entries[-1]["action"] == "export_audit"
    assert examine(iter(entries), []).flaws == ()
    assert bob.get("/audit/export").status_code == 405
    assert bob.send("/audit/export", token="x").status_code == 403


def test_the_report_is_a_file_for_those_who_may_read_the_log(bob: Visitor, node: NodeUnderTest) -> None:
    assert "/audit/five-safes" in bob.shows("/audit")
    answer = bob.sends("/audit/five-safes", since="2001-01-01T00:00", until="")
    assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
    assert answer.headers["content-disposition"].startswith('attachment; filename="five-safes-')
    assert "## Safe projects" in answer.text
    assert "report audit" in text_of(bob.shows("/audit"))
    assert bob.send("/audit/five-safes", since="soon").status_code == 422
    assert bob.send("/audit/five-safes", token="x").status_code == 403
    node.as_("ana", "data_officer")
    assert Visitor(node.client, "ana").send("/audit/five-safes").status_code == 403


def test_no_password_is_in_the_log(bob: Visitor) -> None:
    assert PASSWORD not in bob.sends("/audit/export").text
