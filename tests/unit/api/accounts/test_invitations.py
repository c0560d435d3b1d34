"""Invitations, lost passwords, and sessions that somebody else ends."""

from typing import Any

import pytest

from tests.support.accounts import NEW, accepted, acts, call, code, invited
from tests.support.gateways import MovingClock
from tests.support.nodes import PASSWORD, NodeUnderTest


def test_an_invited_person_sets_the_password_once(node: NodeUnderTest) -> None:
    token = invited(node)
    assert code(node.sign_in("ana", "")) == "wrong_credentials"
    assert accepted(node, token).json()["username"] == "ana"
    assert node.sign_in("ana", NEW).status_code == 201
    assert code(accepted(node, token, "yet another password")) == "not_signed_in"
    assert node.sign_in("ana", NEW).status_code == 201
    assert [act for act in acts(node) if "invit" in act[1]] == [
        ("bob", "invite_user", "ana"),
        ("", "accept_invitation", "ana"),
    ]


def test_an_invitation_ends_and_a_later_one_replaces_it(node: NodeUnderTest, clock: MovingClock) -> None:
    first = invited(node)
    second = str(call(node, "POST", "/users/ana/invitation").json()["token"])
    assert code(accepted(node, first)) == "not_signed_in"
    clock.forward(node.node.settings.invitation_s)
    assert code(accepted(node, second)) == "not_signed_in"


def test_a_reset_ends_all_sessions_and_the_old_password(node: NodeUnderTest) -> None:
    before = node.as_("ana")
    token = str(call(node, "POST", "/users/ana/invitation").json()["token"])
    assert node.client.get("/v1/users/me", headers=before).status_code == 200
    assert accepted(node, token).status_code == 200
    assert node.client.get("/v1/users/me", headers=before).status_code == 401
    assert code(node.sign_in("ana")) == "wrong_credentials"


def test_nobody_invites_themselves_those_who_may_do_more_or_without_the_right(node: NodeUnderTest) -> None:
    for user, role, whom in (
        ("bob", "owner", "bob"),
        ("adam", "admin", "bob"),
        ("ana", "data_scientist", "adam"),
        ("bob", "owner", "nobody"),
    ):
        node.as_(user, role)
        answer = call(node, "POST", f"/users/{whom}/invitation", user)
        assert answer.status_code in (403, 404), (user, whom)
    body = {"username": "dana@grid", "role": "data_scientist"}
    assert call(node, "POST", "/users", **body).status_code == 201
    assert call(node, "POST", "/users/dana@grid/invitation").status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {"username": "ana"},
        {"username": "ana", "invited": True, "password": PASSWORD},
        {"username": "dana@grid", "invited": True},
    ],
)
def test_an_account_has_a_password_or_an_invitation_and_an_identity_neither(
    node: NodeUnderTest, body: dict[str, Any]
) -> None:
    assert code(call(node, "POST", "/users", **body)) == "invalid_input"


def test_a_locked_account_cannot_come_back_by_its_invitation(node: NodeUnderTest) -> None:
    token = invited(node)
    call(node, "PATCH", "/users/ana", disabled=True)
    assert code(accepted(node, token)) == "not_signed_in"


def test_guessing_invitations_is_limited(node: NodeUnderTest) -> None:
    answers = [code(accepted(node, f"guess {number}")) for number in range(12)]
    assert answers == ["not_signed_in"] * 10 + ["too_many_attempts"] * 2


def test_an_administrator_sees_and_ends_the_sessions_of_others(node: NodeUnderTest) -> None:
    ana = node.as_("ana")
    listed = call(node, "GET", "/users/ana/sessions").json()["items"]
    assert [one["current"] for one in listed] == [False]
    assert call(node, "DELETE", "/users/ana/sessions").status_code == 204
    assert node.client.get("/v1/users/me", headers=ana).status_code == 401
    assert ("bob", "end_sessions", "ana") in acts(node)
    node.as_("adam", "admin")
    assert call(node, "GET", "/users/bob/sessions", "adam").status_code == 403
    assert call(node, "DELETE", "/users/bob/sessions", "adam").status_code == 403
