"""Accounts of a node through its routes, and every way in that must stay shut."""

from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import jwt
import pytest
from argon2 import PasswordHasher
from fastapi.testclient import TestClient
from sqlalchemy.exc import DBAPIError
from sqlmodel import select, text

from gridward.api.main import create_app
from gridward.api.tables.accounts import AuditEntry, User, UserSession
from gridward.core.schemas.accounts import RoleName
from gridward.server import tokens
from gridward.server.principals import CAPABILITIES
from gridward.server.settings import NodeSettings
from tests.support.nodes import PASSWORD, NodeUnderTest


def code(answer: Any) -> str:
    return str(answer.json()["code"])


def setup(node: NodeUnderTest, token: str, username: str = "bob") -> Any:
    body = {"token": token, "username": username, "password": PASSWORD}
    return node.client.post("/v1/setup", json=body)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


# --- the owner ---


def test_the_first_caller_does_not_own_the_node(fresh: NodeUnderTest) -> None:
    assert code(setup(fresh, "guess", "mallory")) == "setup_refused"
    assert code(setup(fresh, "", "mallory")) == "setup_refused"
    body = {"username": "mallory", "role": "owner", "password": PASSWORD}
    assert code(fresh.client.post("/v1/users", json=body)) == "not_signed_in"
    assert fresh.client.get("/v1/node").json()["owned"] is False


def test_the_one_time_token_makes_one_owner_once(fresh: NodeUnderTest) -> None:
    assert setup(fresh, fresh.owner_token).json()["role"] == "owner"
    assert fresh.client.get("/v1/node").json()["owned"] is True
    assert code(setup(fresh, fresh.owner_token, "mallory")) == "setup_refused"


def test_a_token_file_that_came_back_makes_no_second_owner(node: NodeUnderTest) -> None:
    from gridward.server.keys import renew_setup_token

    token = renew_setup_token(node.node.settings.data_dir)
    assert code(setup(node, token, "mallory")) == "setup_refused"


def test_guessing_the_one_time_token_is_limited(fresh: NodeUnderTest) -> None:
    answers = [code(setup(fresh, f"guess {number}")) for number in range(12)]
    assert answers == ["setup_refused"] * 10 + ["too_many_attempts"] * 2


def test_no_account_exists_before_the_owner_made_it(fresh: NodeUnderTest) -> None:
    for username in ("admin", "root", "owner", "gridward"):
        for password in ("", "admin", "changethis", "password"):
            assert fresh.sign_in(username, password).status_code in (401, 422, 429)
    with fresh.node.database.read() as db:
        assert db.exec(select(User)).all() == []


# --- signing in ---


def test_a_wrong_password_and_an_unknown_user_get_the_same_answer_for_the_same_work(
    node: NodeUnderTest,
) -> None:
    node.as_("ana")
    disabled = node.client.patch("/v1/users/ana", json={"disabled": True}, headers=node.as_("bob"))
    assert disabled.status_code == 200
    answers = {}
    for username in ("bob", "nobody", "ana", "dana@grid"):
        with patch.object(PasswordHasher, "verify", autospec=True, side_effect=PasswordHasher.verify) as work:
            answer = node.sign_in(username, "wrong password")
        hashes = [call.args[1].rsplit("$", 2)[0] for call in work.call_args_list]
        problem = answer.json()
        answers[username] = (answer.status_code, problem["code"], problem["detail"], tuple(hashes))
    assert len(set(answers.values())) == 1
    assert answers["bob"][:2] == (401, "wrong_credentials")
    assert len(answers["bob"][3]) == 1


def test_a_disabled_account_is_out_at_once(node: NodeUnderTest) -> None:
    ana = node.as_("ana")
    node.client.patch("/v1/users/ana", json={"disabled": True}, headers=node.as_("bob"))
    assert code(node.client.get("/v1/users/me", headers=ana)) == "not_signed_in"
    assert code(node.sign_in("ana")) == "wrong_credentials"
    node.client.patch("/v1/users/ana", json={"disabled": False}, headers=node.as_("bob"))
    assert code(node.client.get("/v1/users/me", headers=ana)) == "not_signed_in"
    assert node.sign_in("ana").status_code == 201


def test_brute_force_on_sign_in_is_stopped_even_when_the_guess_becomes_right(node: NodeUnderTest) -> None:
    answers = [code(node.sign_in("bob", f"guess {number}")) for number in range(10)]
    assert set(answers) == {"wrong_credentials"}
    refused = node.sign_in("bob")
    assert (refused.status_code, code(refused)) == (429, "too_many_attempts")
    assert int(refused.headers["retry-after"]) > 0


def test_brute_force_over_many_names_is_stopped(settings: NodeSettings) -> None:
    from gridward.server.keys import make

    make(settings.data_dir)
    with TestClient(create_app(settings.model_copy(update={"sign_in_attempts_global": 5}))) as client:
        answers = [
            code(client.post("/v1/sessions", json={"username": f"user{number}", "password": "x"}))
            for number in range(7)
        ]
    assert answers == ["wrong_credentials"] * 5 + ["too_many_attempts"] * 2


def test_signing_in_often_with_the_right_password_is_not_limited(node: NodeUnderTest) -> None:
    assert {node.sign_in("bob").status_code for _ in range(15)} == {201}


# --- passwords ---


def change_password(node: NodeUnderTest, headers: dict[str, str], old: str, new: str) -> Any:
    body = {"old_password": old, "new_password": new}
    return node.client.put("/v1/users/me/password", json=body, headers=headers)


def test_a_changed_password_ends_every_other_session(node: NodeUnderTest) -> None:
    here = node.as_("ana")
    elsewhere = bearer(node.sign_in("ana").json()["access_token"])
    assert change_password(node, here, PASSWORD, "another long one").status_code == 204
    assert node.client.get("/v1/users/me", headers=here).status_code == 200
    assert code(node.client.get("/v1/users/me", headers=elsewhere)) == "not_signed_in"
    assert code(node.sign_in("ana")) == "wrong_credentials"
    assert node.sign_in("ana", "another long one").status_code == 201


def test_brute_force_on_change_password_is_stopped(node: NodeUnderTest) -> None:
    ana = node.as_("ana")
    answers = [
        code(change_password(node, ana, f"guess {number}", "another long one")) for number in range(10)
    ]
    assert set(answers) == {"wrong_credentials"}
    assert code(change_password(node, ana, PASSWORD, "another long one")) == "too_many_attempts"


def test_a_short_password_is_refused(node: NodeUnderTest) -> None:
    body = {"username": "ana", "password": "short"}
    assert code(node.client.post("/v1/users", json=body, headers=node.as_("bob"))) == "invalid_input"
    assert code(change_password(node, node.as_("bob"), PASSWORD, "short")) == "invalid_input"


# --- sessions ---


def test_a_refresh_token_works_once_and_its_reuse_ends_the_session(node: NodeUnderTest) -> None:
    first = node.sign_in("bob").json()
    second = node.client.post("/v1/sessions/refresh", json={"refresh_token": first["refresh_token"]}).json()
    assert second["session_id"] == first["session_id"]
    assert node.client.get("/v1/users/me", headers=bearer(second["access_token"])).status_code == 200
    again = node.client.post("/v1/sessions/refresh", json={"refresh_token": first["refresh_token"]})
    assert code(again) == "not_signed_in"
    for token in (first["access_token"], second["access_token"]):
        assert code(node.client.get("/v1/users/me", headers=bearer(token))) == "not_signed_in"
    thief = node.client.post("/v1/sessions/refresh", json={"refresh_token": second["refresh_token"]})
    assert code(thief) == "not_signed_in"


@pytest.mark.parametrize("token", ["", ".", "ses-1.x", "x" * 200, "ses-\u0000.x"])
def test_an_invented_refresh_token_is_refused(node: NodeUnderTest, token: str) -> None:
    answer = node.client.post("/v1/sessions/refresh", json={"refresh_token": token})
    assert answer.status_code in (401, 422)


def test_sessions_are_listed_and_ended_by_their_user_only(node: NodeUnderTest) -> None:
    ana, bob = node.as_("ana"), node.as_("bob")
    second = node.sign_in("ana").json()
    listed = node.client.get("/v1/sessions", headers=ana).json()["items"]
    assert [item["current"] for item in listed].count(True) == 1
    assert {item["session_id"] for item in listed} >= {second["session_id"]}
    other = node.client.delete(f"/v1/sessions/{second['session_id']}", headers=bob)
    missing = node.client.delete("/v1/sessions/ses-0", headers=bob)
    assert code(other) == code(missing) == "object_not_found"
    assert node.client.delete(f"/v1/sessions/{second['session_id']}", headers=ana).status_code == 204
    gone = node.client.get("/v1/users/me", headers=bearer(second["access_token"]))
    assert code(gone) == "not_signed_in"
    assert node.client.delete("/v1/sessions/current", headers=ana).status_code == 204
    assert code(node.client.get("/v1/users/me", headers=ana)) == "not_signed_in"


def test_neither_passwords_nor_tokens_are_stored(node: NodeUnderTest) -> None:
    said = node.sign_in("bob").json()
    with node.node.database.read() as db:
        rows = [*db.exec(select(User)).all(), *db.exec(select(UserSession)).all()]
    stored = "".join(row.model_dump_json() for row in rows)
    assert PASSWORD not in stored
    assert said["refresh_token"].split(".")[1] not in stored
    assert said["access_token"] not in stored


def forged(node: NodeUnderTest, **changed: Any) -> str:
    """A token that the node would accept but for what is changed."""
    real = node.sign_in("bob").json()["access_token"]
    claims = jwt.decode(real, options={"verify_signature": False})
    header: dict[str, Any] = {"typ": "gridward-access"} | changed.pop("header", {})
    key = changed.pop("key", node.node.keys.token_secret)
    claims = {name: value for name, value in (claims | changed).items() if value is not None}
    return jwt.encode(claims, key, algorithm=header.get("alg", "HS256"), headers=header)


def test_the_forger_of_these_tests_forges_well(node: NodeUnderTest) -> None:
    assert node.client.get("/v1/users/me", headers=bearer(forged(node))).json()["username"] == "bob"


@pytest.mark.parametrize(
    "changed",
    [
        {"exp": None},
        {"exp": 1},
        {"sid": None},
        {"sid": "ses-0"},
        {"sub": "ana"},
        {"sub": "bob@grid"},
        {"aud": "a" * 26},
        {"iss": "a" * 26},
        {"key": b"x" * 32},
        {"key": None, "header": {"alg": "none"}},
        {"header": {"typ": "JWT"}},
        {"header": {"typ": "gridward-identity"}},
        {"header": {"typ": "gridward-request"}},
    ],
)
def test_a_forged_access_token_is_refused(node: NodeUnderTest, changed: dict[str, Any]) -> None:
    node.as_("ana")
    answer = node.client.get("/v1/users/me", headers=bearer(forged(node, **changed)))
    assert (answer.status_code, code(answer)) == (401, "not_signed_in")


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic Ym9iOmJvYg==", "Bearer a.b.c", "bob"])
def test_a_malformed_authorization_header_is_refused(node: NodeUnderTest, header: str) -> None:
    answer = node.client.get("/v1/users/me", headers={"Authorization": header})
    assert (answer.status_code, code(answer)) == (401, "not_signed_in")


def test_a_token_dies_with_its_lifetime(settings: NodeSettings) -> None:
    from gridward.server.keys import make

    now = [datetime(2026, 3, 1, tzinfo=UTC)]
    token = make(settings.data_dir)
    with TestClient(create_app(settings, clock=lambda: now[0])) as client:
        node = NodeUnderTest(client, client.app.state.server, token)  # type: ignore[attr-defined]
        setup(node, token)
        said = node.sign_in("bob").json()
        now[0] += timedelta(seconds=settings.access_token_s + 11)
        assert code(client.get("/v1/users/me", headers=bearer(said["access_token"]))) == "not_signed_in"
        fresh = client.post("/v1/sessions/refresh", json={"refresh_token": said["refresh_token"]}).json()
        assert client.get("/v1/users/me", headers=bearer(fresh["access_token"])).status_code == 200
        now[0] += timedelta(seconds=settings.refresh_token_s + 1)
        late = client.post("/v1/sessions/refresh", json={"refresh_token": fresh["refresh_token"]})
        assert code(late) == "not_signed_in"


# --- naming oneself, raising oneself ---


@pytest.mark.parametrize("field", ["user", "username", "current_user", "owner", "role", "capabilities"])
def test_naming_oneself_in_a_body_is_refused(node: NodeUnderTest, field: str) -> None:
    body = {"size_bytes": 1, "sha256": "0" * 64, "media_type": "text/csv", field: "bob"}
    assert code(node.client.post("/v1/uploads", json=body, headers=node.as_("ana"))) == "invalid_input"


@pytest.mark.parametrize("how", ["X-User", "X-Forwarded-User", "X-Remote-User", "current_user"])
def test_naming_oneself_in_a_header_or_query_changes_nothing(node: NodeUnderTest, how: str) -> None:
    ana = node.as_("ana")
    answer = node.client.get(f"/v1/users/me?{how}=bob&username=bob", headers=ana | {how: "bob"})
    assert answer.json()["username"] == "ana"


@pytest.mark.parametrize("role", [role for role in RoleName if role is not RoleName.OWNER])
def test_nobody_gives_a_role_that_can_do_more_than_they(node: NodeUnderTest, role: RoleName) -> None:
    headers = node.as_("eve", role)
    mine = CAPABILITIES[role]
    for wanted in RoleName:
        body = {"username": f"x-{wanted}".replace("_", "-"), "role": wanted, "password": PASSWORD}
        answer = node.client.post("/v1/users", json=body, headers=headers)
        allowed = "manage_users" in mine and CAPABILITIES[wanted] <= mine
        assert answer.status_code == (201 if allowed else 403), (role, wanted)
        patched = node.client.patch("/v1/users/eve", json={"role": wanted}, headers=headers)
        assert code(patched) == "not_authorized"


def test_an_administrator_cannot_touch_the_owner(node: NodeUnderTest) -> None:
    eve = node.as_("eve", "admin")
    for patch_ in ({"disabled": True}, {"role": "guest"}):
        assert code(node.client.patch("/v1/users/bob", json=patch_, headers=eve)) == "not_authorized"
    assert node.sign_in("bob").status_code == 201


def test_the_owner_cannot_lock_themselves_out(node: NodeUnderTest) -> None:
    answer = node.client.patch("/v1/users/bob", json={"disabled": True}, headers=node.as_("bob"))
    assert code(answer) == "not_authorized"


def test_a_changed_role_counts_at_once(node: NodeUnderTest) -> None:
    ana = node.as_("ana", "admin")
    assert node.client.get("/v1/users", headers=ana).status_code == 200
    node.client.patch("/v1/users/ana", json={"role": "guest"}, headers=node.as_("bob"))
    assert code(node.client.get("/v1/users", headers=ana)) == "not_authorized"


def test_only_who_manages_users_lists_them(node: NodeUnderTest) -> None:
    assert code(node.client.get("/v1/users", headers=node.as_("ana"))) == "not_authorized"
    listed = node.client.get("/v1/users", headers=node.as_("bob")).json()
    assert [user["username"] for user in listed["items"]] == ["ana", "bob"]
    assert "password" not in node.client.get("/v1/users", headers=node.as_("bob")).text


def test_a_taken_name_is_refused(node: NodeUnderTest) -> None:
    node.as_("ana")
    body = {"username": "ana", "role": "guest", "password": PASSWORD}
    assert code(node.client.post("/v1/users", json=body, headers=node.as_("bob"))) == "already_exists"


def test_an_identity_has_no_password_and_an_account_must_have_one(node: NodeUnderTest) -> None:
    for body in ({"username": "dana@grid", "password": PASSWORD}, {"username": "dana"}):
        answer = node.client.post("/v1/users", json=body, headers=node.as_("bob"))
        assert code(answer) == "invalid_input"


def test_no_secret_key_is_served(node: NodeUnderTest) -> None:
    keys = node.node.keys
    pages = "".join(
        node.client.get(path, headers=node.as_("bob")).text
        for path in ("/v1/node", "/openapi.json", "/v1/users", "/v1/sessions", "/v1/memberships")
    )
    for secret in (keys.sign_key.private_bytes_raw(), keys.token_secret, keys.entity_secret):
        assert secret.hex() not in pages
    for path in ("/keys", "/v1/keys", "/data/keys/signing", "/v1/node/keys", "/static/..%2fkeys/signing"):
        assert node.client.get(path, headers=node.as_("bob")).status_code == 404


# --- the log ---


def test_who_did_what_is_in_the_log_and_cannot_be_changed(node: NodeUnderTest) -> None:
    node.as_("ana")
    node.sign_in("ana", "wrong password")
    with node.node.database.read() as db:
        rows = [
            (row.actor, row.action, row.subject, row.decision) for row in db.exec(select(AuditEntry)).all()
        ]
    assert ("bob", "setup", "bob", "done") in rows
    assert ("bob", "create_user", "ana", "done") in rows
    assert ("", "sign_in", "ana", "refused") in rows
    for statement in ("UPDATE audit_entries SET actor = 'eve'", "DELETE FROM audit_entries"):
        with pytest.raises(DBAPIError, match="append-only"), node.node.database.write() as db:
            db.connection().execute(text(statement))


def test_every_token_kind_is_refused_by_the_node_unless_it_is_meant_for_it(node: NodeUnderTest) -> None:
    for kind in tokens.Kind:
        if kind is tokens.Kind.ACCESS:
            continue
        token = tokens.issue(
            kind,
            node.node.keys.sign_key,
            issuer=node.node.keys.id,
            subject="bob",
            audience=node.node.keys.id,
            now=datetime.now(UTC),
            lifetime_s=60,
        )
        assert code(node.client.get("/v1/users/me", headers=bearer(token))) == "not_signed_in"
