"""Tokens for programs are less than their account, and end with it."""

from datetime import timedelta

import pytest

from gridward.api.tables.accounts import ServiceToken
from gridward.core.schemas.accounts import RoleName
from tests.support.accounts import NEW, accepted, call, code, invited, token_of, with_token
from tests.support.files import publish
from tests.support.gateways import MovingClock
from tests.support.nodes import PASSWORD, NodeUnderTest


def test_a_token_may_do_what_its_scopes_say_and_no_more(node: NodeUnderTest) -> None:
    token = token_of(node, "bob", "read_audit")
    assert with_token(node, token, "GET", "/audit").status_code == 200
    for method, path in (("GET", "/users"), ("POST", "/users/ana/invitation")):
        answer = with_token(node, token, method, path)
        assert answer.status_code == 403, path
        assert "manage_users" in answer.json()["detail"]
    assert with_token(node, token, "GET", "/users/me").json()["username"] == "bob"


def test_a_token_rules_over_its_accounts_own_data_within_its_scopes_only(node: NodeUnderTest) -> None:
    made = publish(node, node.as_("dora", "data_officer"), {"weight": [3.5, 3.7]}, name="births")
    path = f"/datasets/{made['id']}"
    for scopes, status in ((("send", "compute"), 403), (("publish",), 200)):
        token = token_of(node, "dora", *scopes)
        answer = with_token(node, token, "PATCH", path, access={"raw": ["mallory"]})
        assert answer.status_code == status, answer.text
    assert with_token(node, token_of(node, "dora", "send"), "DELETE", path).status_code == 403


def test_making_a_token_takes_the_password(node: NodeUnderTest) -> None:
    body = {"password": "wrong", "name": "nightly", "scopes": ["compute"], "lifetime_s": 3600}
    assert code(call(node, "POST", "/service-tokens", "ana", **body)) == "wrong_credentials"


def test_signing_somebody_out_everywhere_ends_tokens_and_invitations_too(node: NodeUnderTest) -> None:
    for how in ("sessions", "reset", "password"):
        node._headers.pop("ana", None)
        user = f"ana-{how}"
        token = token_of(node, user, "compute")
        reset = str(call(node, "POST", f"/users/{user}/invitation").json()["token"])
        if how == "sessions":
            assert call(node, "DELETE", f"/users/{user}/sessions").status_code == 204
        elif how == "reset":
            assert accepted(node, reset).status_code == 200
        else:
            body = {"old_password": PASSWORD, "new_password": NEW}
            assert call(node, "PUT", "/users/me/password", user, **body).status_code == 204
        assert with_token(node, token, "GET", "/users/me").status_code == 401
        assert code(accepted(node, reset)) == "not_signed_in"


def test_an_invitation_is_worth_nothing_once_its_account_may_more_or_its_maker_less(
    node: NodeUnderTest,
) -> None:
    node.as_("adam", "admin")
    for changed, patch in (("ana", {"role": "owner"}), ("adam", {"disabled": True})):
        invited(node, "ana") if changed == "ana" else invited(node, "eve")
        who = "ana" if changed == "ana" else "eve"
        token = str(call(node, "POST", f"/users/{who}/invitation", "adam").json()["token"])
        assert call(node, "PATCH", f"/users/{changed}", **patch).status_code == 200
        assert code(accepted(node, token)) == "not_signed_in"


def test_an_owners_token_does_not_see_all_data_unless_it_says_so(node: NodeUnderTest) -> None:
    publish(node, node.as_("dora", "data_officer"), {"weight": [3.5, 3.7]}, name="births")
    for scopes, seen in ((("compute",), 0), (("compute", "see_all_data"), 1)):
        token = token_of(node, "bob", *scopes)
        assert with_token(node, token, "GET", "/datasets").json()["total"] == seen


@pytest.mark.parametrize("scopes", [[], ["manage_users"], ["everything"], ["compute", "publish"]])
def test_nobody_gives_a_token_more_than_they_have(node: NodeUnderTest, scopes: list[str]) -> None:
    body = {"password": PASSWORD, "name": "nightly", "scopes": scopes, "lifetime_s": 3600}
    assert code(call(node, "POST", "/service-tokens", "ana", **body)) == "invalid_input"


def test_a_token_makes_no_tokens_and_shrinks_with_its_account(node: NodeUnderTest) -> None:
    node.as_("dora", "data_officer")
    token = token_of(node, "dora", "publish", "compute")
    body = {"password": PASSWORD, "name": "more", "scopes": ["publish"], "lifetime_s": 10**6}
    assert with_token(node, token, "POST", "/service-tokens", **body).status_code == 403
    call(node, "PATCH", "/users/dora", role="guest")
    assert with_token(node, token, "GET", "/users/me").json()["capabilities"] == []
    upload = {"size_bytes": 1, "sha256": "0" * 64, "media_type": "application/x-npy"}
    assert with_token(node, token, "POST", "/uploads", **upload).status_code == 403
    call(node, "PATCH", "/users/dora", disabled=True)
    assert with_token(node, token, "GET", "/users/me").status_code == 401


def test_a_token_ends_by_time_and_by_its_owners_word(node: NodeUnderTest, clock: MovingClock) -> None:
    token = token_of(node, "ana", "compute", lifetime_s=60)
    other = token_of(node, "ana", "compute")
    clock.forward(60)
    assert with_token(node, token, "GET", "/users/me").status_code == 401
    listed = call(node, "GET", "/service-tokens", "ana").json()["items"]
    assert [one["id"] for one in listed] == [other.partition(".")[0]]
    assert call(node, "DELETE", f"/service-tokens/{listed[0]['id']}", "bob").status_code == 404
    assert call(node, "DELETE", f"/service-tokens/{listed[0]['id']}", "ana").status_code == 204
    assert with_token(node, other, "GET", "/users/me").status_code == 401


def test_a_token_is_stored_as_its_hash_and_guessing_it_is_no_use(node: NodeUnderTest) -> None:
    token = token_of(node, "ana", "compute")
    token_id, _, secret = token.partition(".")
    with node.node.database.read() as db:
        row = db.get(ServiceToken, token_id)
        assert row is not None
        assert secret not in repr(row.model_dump())
    for guess in ("svc-", token_id, *(f"{token_id}.{end}" for end in ("", secret[:-1], row.token_hash))):
        assert with_token(node, guess, "GET", "/users/me").status_code == 401


def test_who_needs_a_second_factor_gets_nothing_by_an_older_token(node: NodeUnderTest) -> None:
    token = token_of(node, "bob", "read_audit")
    node.node.settings.second_factor_roles = frozenset({RoleName.OWNER})
    assert with_token(node, token, "GET", "/audit").status_code == 403


def test_tokens_of_one_account_are_bounded(node: NodeUnderTest) -> None:
    with node.node.database.write() as db:
        me = call(node, "GET", "/users/me", "ana")
        assert me.status_code == 200
        from gridward.server.sessions import user_named

        user = user_named(db, node.node.accounts, "ana")
        assert user is not None
        for number in range(100):
            db.add(
                ServiceToken(
                    id=f"svc-{number}",
                    user_id=user.id,
                    name="n",
                    scopes=[],
                    token_hash="",
                    created_at=node.node.clock(),
                    expires_at=node.node.clock() + timedelta(days=1),
                )
            )
    body = {"password": PASSWORD, "name": "one more", "scopes": ["compute"], "lifetime_s": 3600}
    assert code(call(node, "POST", "/service-tokens", "ana", **body)) == "conflict"
