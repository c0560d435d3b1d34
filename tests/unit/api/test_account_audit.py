"""What the log says of second factors, recovery codes and sessions that end."""

from base64 import b32decode
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from sqlmodel import select

from gridward.api.tables.accounts import AuditEntry
from tests.support.nodes import PASSWORD, NodeUnderTest


def call(node: NodeUnderTest, method: str, path: str, **body: Any) -> Any:
    return node.client.request(method, f"/v1{path}", json=body or None, headers=node.as_("bob"))


def said(node: NodeUnderTest, action: str) -> list[tuple[str, str, str, str]]:
    with node.node.database.read() as db:
        rows = db.exec(select(AuditEntry).where(AuditEntry.action == action)).all()
    return [(row.actor, row.subject, row.decision, row.reason.partition(": ")[2]) for row in rows]


def code_now(begun: Any) -> str:
    secret = parse_qs(urlsplit(begun.json()["address"]).query)["secret"][0]
    totp = TOTP(b32decode(secret + "=" * (-len(secret) % 8)), 6, SHA1(), 30)
    return totp.generate(int(datetime.now(UTC).timestamp())).decode()


def test_wrong_codes_at_set_up_and_removal_are_written_down(node: NodeUnderTest) -> None:
    begun = call(node, "POST", "/users/me/second-factor", password=PASSWORD)
    assert call(node, "PUT", "/users/me/second-factor", code="000000").status_code == 401
    assert said(node, "set_second_factor") == [("", "bob", "refused", "the code is wrong")]
    confirmed = call(node, "PUT", "/users/me/second-factor", code=code_now(begun))
    assert confirmed.status_code == 200
    assert said(node, "set_second_factor")[1:] == [("bob", "bob", "done", "")]
    gone = call(node, "POST", "/users/me/second-factor/removal", password=PASSWORD, code="000000")
    assert gone.status_code == 401
    assert said(node, "remove_second_factor") == [("", "bob", "refused", "the code is wrong")]


def test_a_recovery_code_that_is_used_is_written_down_without_the_code(node: NodeUnderTest) -> None:
    begun = call(node, "POST", "/users/me/second-factor", password=PASSWORD)
    codes = call(node, "PUT", "/users/me/second-factor", code=code_now(begun)).json()["codes"]
    body = {"username": "bob", "password": PASSWORD, "code": codes[0]}
    assert node.client.post("/v1/sessions", json=body).status_code == 201
    with node.node.database.read() as db:
        row = db.exec(select(AuditEntry).where(AuditEntry.action == "use_recovery_code")).one()
    assert (row.subject, row.reason) == ("bob", "9 are left")
    assert codes[0] not in row.model_dump_json()


def test_a_session_that_ends_is_written_down_with_who_ended_it(node: NodeUnderTest) -> None:
    second = node.sign_in("bob").json()
    assert call(node, "DELETE", f"/sessions/{second['session_id']}").status_code == 204
    assert said(node, "end_session") == [("bob", second["session_id"], "done", "")]


def test_a_refresh_token_that_comes_twice_ends_its_session_in_the_log_too(node: NodeUnderTest) -> None:
    opened = node.sign_in("bob").json()
    spent = {"refresh_token": opened["refresh_token"]}
    assert node.client.post("/v1/sessions/refresh", json=spent).status_code == 200
    assert node.client.post("/v1/sessions/refresh", json=spent).status_code == 401
    assert said(node, "end_session") == [
        ("", opened["session_id"], "done", "a refresh token that was used before")
    ]
