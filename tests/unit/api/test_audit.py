"""The audit log through a node: chained as it commits, searched, exported; what changes it is found."""

import json
import logging
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi.testclient import TestClient
from sqlmodel import text

from gridward.api.main import create_app
from gridward.api.tables.accounts import AuditEntry
from gridward.core.audit import check_head, examine, sign_head
from gridward.core.errors import InvalidInputError
from gridward.core.schemas.audit import AuditHead
from gridward.server import audit, audit_heads, audit_log
from gridward.server.settings import NodeSettings
from tests.support.nodes import NodeUnderTest

UNPROTECTED = {
    "sqlite": [f"DROP TRIGGER audit_entries_no_{word}" for word in ("UPDATE", "DELETE")],
    "postgresql": ["DROP FUNCTION audit_entries_refuse CASCADE"],
}


def found(node: NodeUnderTest, user: str = "bob", **params: Any) -> Any:
    return node.client.get("/v1/audit", params=params, headers=node.as_(user))


def acts(node: NodeUnderTest, **params: Any) -> list[tuple[str, str]]:
    return [(entry["actor"], entry["action"]) for entry in found(node, **params).json()["items"]]


def tamper(node: NodeUnderTest, *statements: str) -> None:
    """Do what someone with the database's password can do."""
    with node.node.database.write() as db:
        for statement in (*UNPROTECTED[db.connection().dialect.name], *statements):
            db.connection().execute(text(statement))


def write(node: NodeUnderTest, *actions: str) -> None:
    with node.node.database.write() as db:
        for action in actions:
            audit.record(db, AuditEntry, None, node.node.clock(), action, "of tests")


def test_rows_of_one_transaction_follow_each_other_in_the_chain(node: NodeUnderTest) -> None:
    write(node, "a", "b", "c")
    entries = found(node).json()["items"]
    assert [entry["action"] for entry in entries[:3]] == ["sign_in", "c", "b"]
    assert [entry["id"] for entry in entries] == list(range(len(entries), 0, -1))
    verdict = node.client.get("/v1/audit/verdict", headers=node.as_("bob")).json()
    assert (verdict["count"], verdict["flaws"]) == (len(entries), [])


def test_a_transaction_that_fails_leaves_no_row_and_no_gap(node: NodeUnderTest) -> None:
    with pytest.raises(RuntimeError), node.node.database.write() as db:
        audit.record(db, AuditEntry, None, node.node.clock(), "lost", "")
        raise RuntimeError
    write(node, "kept")
    assert audit_log.verify(node.node.accounts).flaws == []
    assert ("", "lost") not in acts(node)


def test_transactions_side_by_side_make_one_chain(node: NodeUnderTest) -> None:
    threads = [
        threading.Thread(target=lambda name: [write(node, name) for _ in range(10)], args=(f"by-{number}",))
        for number in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    verdict = audit_log.verify(node.node.accounts)
    assert verdict.flaws == []
    assert verdict.count >= 40


@pytest.mark.parametrize(
    ("statement", "flaw"),
    [
        ("UPDATE audit_entries SET actor = 'eve' WHERE id = 2", "entry 2 is not what was written"),
        (
            "UPDATE audit_entries SET at = '2020-01-01' WHERE id = 2",
            "entry 2 is not what was written",
        ),
        ("DELETE FROM audit_entries WHERE id = 2", "entries 2 to 2 are missing"),
        ("UPDATE audit_entries SET digest = '' WHERE id = 1", "entry 1 is not what was written"),
    ],
)
def test_an_entry_changed_in_the_database_is_named(node: NodeUnderTest, statement: str, flaw: str) -> None:
    write(node, "a", "b", "c")
    tamper(node, statement)
    assert flaw in audit_log.verify(node.node.accounts).flaws


def test_entries_cut_off_at_the_end_are_missed_by_the_kept_head(node: NodeUnderTest) -> None:
    write(node, "a", "b", "c")
    audit_heads.keep(node.node.accounts)
    count = audit_log.verify(node.node.accounts).count
    tamper(node, f"DELETE FROM audit_entries WHERE id > {count - 2}")
    verdict = audit_log.verify(node.node.accounts)
    assert verdict.heads == 1
    assert [flaw.partition(" were signed")[0] for flaw in verdict.flaws] == [
        f"the log ends at entry {count - 2}, but {count} entries"
    ]


def test_a_node_whose_log_lost_entries_says_so_for_good(
    node: NodeUnderTest, settings: NodeSettings, caplog: pytest.LogCaptureFixture
) -> None:
    write(node, "a", "b", "c")
    audit_heads.keep(node.node.accounts)
    tamper(node, "DELETE FROM audit_entries WHERE action IN ('b', 'c')")
    with caplog.at_level(logging.ERROR):
        audit_heads.compare(node.node.accounts)
    assert "was an older database put in place?" in caplog.text
    assert acts(node, action="audit_lost") == [("", "audit_lost")]
    for name in "defgh":
        write(node, name)
        audit_heads.keep(node.node.accounts)
    verdict = audit_log.verify(node.node.accounts)
    assert verdict.heads == 2
    assert [flaw.split(" was ")[0] for flaw in verdict.flaws][-1].endswith("is not the one that")


def test_what_a_gateway_kept_shows_a_whole_folder_that_was_put_back(node: NodeUnderTest) -> None:
    accounts = node.node.accounts
    write(node, "a", "b")
    audit_heads.keep(accounts)
    older = (accounts.settings.data_dir / audit_heads.HEADS).read_bytes()
    write(node, "c", "d")
    witnessed = audit_heads.head(accounts)
    tamper(node, "DELETE FROM audit_entries WHERE action IN ('c', 'd')")
    (accounts.settings.data_dir / audit_heads.HEADS).write_bytes(older)
    assert audit_log.verify(accounts).flaws == []
    for _ in range(2):
        audit_heads.learn(accounts, witnessed)
    assert acts(node, action="audit_lost") == [("", "audit_lost")]
    write(node, "e", "f")
    audit_heads.keep(accounts)
    assert len(audit_log.verify(accounts).flaws) == 1


def test_a_gateway_cannot_make_a_node_believe_what_it_never_signed(node: NodeUnderTest) -> None:
    head = audit_heads.head(node.node.accounts)
    other = sign_head(Ed25519PrivateKey.generate(), 99, "0" * 64, node.node.clock())
    for forged in (head.model_copy(update={"count": 99}), other):
        with pytest.raises(InvalidInputError):
            audit_heads.learn(node.node.accounts, forged)
    assert acts(node, action="audit_lost") == []


def test_a_head_is_kept_when_a_node_ends_and_compared_when_it_starts(
    fresh: NodeUnderTest, settings: NodeSettings
) -> None:
    fresh.sign_in("nobody")
    fresh.client.__exit__(None, None, None)
    kept = audit_heads.read(settings.data_dir, fresh.node.keys.id)
    assert [head.count for head in kept] == [1]
    with TestClient(create_app(settings)) as client:
        node = NodeUnderTest(client, client.app.state.server, fresh.owner_token)  # type: ignore[attr-defined]
        assert audit_log.verify(node.node.accounts).flaws == []


def test_only_those_who_may_read_the_log_do(node: NodeUnderTest) -> None:
    for path in ("", "/head", "/export", "/verdict"):
        for user, role in (("ana", "data_scientist"), ("dora", "data_officer"), ("gus", "guest")):
            answer = node.client.get(f"/v1/audit{path}", headers=node.as_(user, role))
            assert answer.status_code == 403, (path, role)
        assert node.client.get(f"/v1/audit{path}").status_code == 401
        officer = node.client.get(f"/v1/audit{path}", headers=node.as_("cora", "compliance_officer"))
        assert officer.status_code == 200


def test_entries_are_found_by_each_of_their_columns_and_page_by_page(node: NodeUnderTest) -> None:
    node.as_("ana")
    node.sign_in("ana", "wrong password")
    assert acts(node, decision="refused") == [("", "sign_in")]
    assert acts(node, subject="ana", action="create_user") == [("bob", "create_user")]
    assert set(acts(node, actor="ana")) == {("ana", "sign_in")}
    whole = acts(node)
    paged: list[tuple[str, str]] = []
    before: int | None = None
    while True:
        page = found(node, limit=2, **({} if before is None else {"before": before})).json()
        paged += [(entry["actor"], entry["action"]) for entry in page["items"]]
        before = page["earlier"]
        if before is None:
            break
    assert paged == whole
    now = datetime.now(UTC)
    assert acts(node, since=(now + timedelta(hours=1)).isoformat()) == []
    assert acts(node, until=(now - timedelta(hours=1)).isoformat()) == []
    assert acts(node, since=(now - timedelta(hours=1)).isoformat()) == whole


@pytest.mark.parametrize("since", ["2026-03-01T12:00:00", "0001-01-01T00:00:00+14:00", "soon"])
def test_a_moment_without_a_zone_or_out_of_range_is_refused(node: NodeUnderTest, since: str) -> None:
    assert found(node, since=since).status_code == 422


def test_an_export_verifies_without_the_node(node: NodeUnderTest) -> None:
    node.as_("ana")
    answer = node.client.get("/v1/audit/export", headers=node.as_("bob"))
    assert answer.headers["content-type"] == "application/x-ndjson"
    *entries, last = answer.text.splitlines()
    head = AuditHead.model_validate_json(last)
    check_head(head)
    assert head.server == node.node.keys.id
    verdict = examine(map(json.loads, entries), [head])
    assert (verdict.count, verdict.digest, verdict.flaws) == (head.count, head.digest, ())
    assert json.loads(entries[-1])["action"] == "export_audit"
