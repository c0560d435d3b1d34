"""An account's life: invitation, lost password, second factor, sessions, tokens for programs."""

from base64 import b32decode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from fastapi.testclient import TestClient
from sqlmodel import select, text

from gridward.api.main import create_app
from gridward.api.tables.accounts import AuditEntry, ServiceToken
from gridward.core.schemas.accounts import RoleName
from gridward.server.keys import make
from gridward.server.settings import NodeSettings
from tests.support.files import publish
from tests.support.gateways import MovingClock
from tests.support.nodes import PASSWORD, NodeUnderTest

NEW = "a new and better password"


@pytest.fixture
def clock() -> MovingClock:
    clock = MovingClock()
    clock.now = datetime.now(UTC)
    return clock


@pytest.fixture
def node(settings: NodeSettings, clock: MovingClock) -> Iterator[NodeUnderTest]:
    """A node of bob's, with a clock to move."""
    token = make(settings.data_dir)
    with TestClient(create_app(settings, clock)) as client:
        under_test = NodeUnderTest(client, client.app.state.server, token)  # type: ignore[attr-defined]
        body = {"token": token, "username": "bob", "password": PASSWORD}
        assert client.post("/v1/setup", json=body).status_code == 201
        yield under_test


def code(answer: Any) -> str:
    return str(answer.json()["code"])


def call(node: NodeUnderTest, method: str, path: str, user: str = "bob", **body: Any) -> Any:
    return node.client.request(method, f"/v1{path}", json=body or None, headers=node.as_(user))


def acts(node: NodeUnderTest) -> list[tuple[str, str, str]]:
    with node.node.database.read() as db:
        return [(row.actor, row.action, row.subject) for row in db.exec(select(AuditEntry)).all()]


# --- invitations ---


def invited(node: NodeUnderTest, username: str = "ana", **more: Any) -> str:
    body = {"username": username, "role": "data_scientist", "invited": True}
    assert call(node, "POST", "/users", **body | more).status_code == 201
    made = call(node, "POST", f"/users/{username}/invitation")
    assert made.status_code == 201, made.text
    return str(made.json()["token"])


def accepted(node: NodeUnderTest, token: str, password: str = NEW) -> Any:
    return node.client.post("/v1/invitations", json={"token": token, "password": password})


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


# --- sessions of others ---


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


# --- the second factor ---


class Device:
    """An authenticator app."""

    def __init__(self, address: str, clock: MovingClock) -> None:
        secret = parse_qs(urlsplit(address).query)["secret"][0]
        self._totp = TOTP(b32decode(secret + "=" * (-len(secret) % 8)), 6, SHA1(), 30)
        self._clock = clock

    def code(self) -> str:
        return self._totp.generate(int(self._clock().timestamp())).decode()


def enrolled(node: NodeUnderTest, clock: MovingClock, user: str = "bob") -> tuple[Device, list[str]]:
    begun = call(node, "POST", "/users/me/second-factor", user, password=PASSWORD)
    assert begun.status_code == 201, begun.text
    device = Device(begun.json()["address"], clock)
    confirmed = call(node, "PUT", "/users/me/second-factor", user, code=device.code())
    assert confirmed.status_code == 200, confirmed.text
    clock.forward(30)
    return device, confirmed.json()["codes"]


def sign_in(node: NodeUnderTest, user: str, **more: str) -> Any:
    body = {"username": user, "password": PASSWORD} | more
    return node.client.post("/v1/sessions", json=body)


def test_with_a_second_factor_the_password_is_not_enough(node: NodeUnderTest, clock: MovingClock) -> None:
    device, _ = enrolled(node, clock)
    assert code(sign_in(node, "bob")) == "second_factor_required"
    assert code(sign_in(node, "bob", code="000000")) == "wrong_credentials"
    assert sign_in(node, "bob", code=device.code()).status_code == 201
    assert call(node, "GET", "/users/me").json()["second_factor"] is True
    with node.node.database.read() as db:
        told = [
            row.reason for row in db.exec(select(AuditEntry).where(AuditEntry.decision == "refused")).all()
        ]
    assert [reason.partition(": ")[2] for reason in told] == ["the code is missing", "the code is wrong"]


def test_a_wrong_password_tells_nothing_of_the_second_factor(node: NodeUnderTest, clock: MovingClock) -> None:
    device, _ = enrolled(node, clock)
    for more in ({}, {"code": device.code()}, {"code": "000000"}):
        answer = sign_in(node, "bob", password="wrong", **more)
        assert (answer.status_code, code(answer)) == (401, "wrong_credentials")
    assert sign_in(node, "bob", code=device.code()).status_code == 201


def test_a_code_counts_once(node: NodeUnderTest, clock: MovingClock) -> None:
    device, _ = enrolled(node, clock)
    used = device.code()
    assert sign_in(node, "bob", code=used).status_code == 201
    assert code(sign_in(node, "bob", code=used)) == "wrong_credentials"
    clock.forward(30)
    assert sign_in(node, "bob", code=device.code()).status_code == 201


def test_each_recovery_code_works_once(node: NodeUnderTest, clock: MovingClock) -> None:
    _, codes = enrolled(node, clock)
    for one in codes[:2]:
        assert sign_in(node, "bob", code=one).status_code == 201
        assert code(sign_in(node, "bob", code=one)) == "wrong_credentials"


def test_nothing_of_the_second_factor_is_readable_in_the_database(
    node: NodeUnderTest, clock: MovingClock
) -> None:
    begun = call(node, "POST", "/users/me/second-factor", password=PASSWORD).json()
    secret = parse_qs(urlsplit(begun["address"]).query)["secret"][0]
    device = Device(begun["address"], clock)
    codes = call(node, "PUT", "/users/me/second-factor", code=device.code()).json()["codes"]
    with node.node.database.read() as db:
        stored = repr(db.connection().execute(text("SELECT * FROM users")).all())
    for one in (secret, b32decode(secret).hex(), *codes, *(code.replace("-", "") for code in codes)):
        assert one not in stored


def test_guessing_codes_is_limited_for_an_account_from_wherever_it_comes(
    node: NodeUnderTest, clock: MovingClock
) -> None:
    enrolled(node, clock)
    limits = node.node.accounts.per_user
    for number in range(12):
        limits.give_back("bob\ntestclient")  # as if each came from another address
        answer = code(sign_in(node, "bob", code=f"{number:06}"))
    assert answer == "too_many_attempts"


def test_guessing_codes_is_limited(node: NodeUnderTest, clock: MovingClock) -> None:
    enrolled(node, clock)
    answers = [code(sign_in(node, "bob", code=f"{number:06}")) for number in range(12)]
    assert answers == ["wrong_credentials"] * 10 + ["too_many_attempts"] * 2


def test_setting_it_up_takes_the_password_and_a_first_code(node: NodeUnderTest, clock: MovingClock) -> None:
    assert code(call(node, "PUT", "/users/me/second-factor", code="000000")) == "conflict"
    begun = call(node, "POST", "/users/me/second-factor", password="wrong")
    assert code(begun) == "wrong_credentials"
    begun = call(node, "POST", "/users/me/second-factor", password=PASSWORD)
    assert code(call(node, "PUT", "/users/me/second-factor", code="000000")) == "wrong_credentials"
    assert sign_in(node, "bob").status_code == 201
    assert begun.status_code == 201


def test_a_second_one_cannot_be_set_up_over_the_first(node: NodeUnderTest, clock: MovingClock) -> None:
    device, _ = enrolled(node, clock)
    assert code(call(node, "POST", "/users/me/second-factor", password=PASSWORD)) == "conflict"
    assert code(call(node, "PUT", "/users/me/second-factor", code=device.code())) == "conflict"


def test_taking_it_away_oneself_takes_password_and_code(node: NodeUnderTest, clock: MovingClock) -> None:
    device, _ = enrolled(node, clock)
    path = "/users/me/second-factor/removal"
    assert code(call(node, "POST", path, password="wrong", code=device.code())) == "wrong_credentials"
    assert code(call(node, "POST", path, password=PASSWORD, code="000000")) == "wrong_credentials"
    assert call(node, "POST", path, password=PASSWORD, code=device.code()).status_code == 204
    assert sign_in(node, "bob").status_code == 201


def test_an_administrator_takes_it_away_from_who_lost_the_device(
    node: NodeUnderTest, clock: MovingClock
) -> None:
    node.as_("ana")
    enrolled(node, clock, "ana")
    node.as_("adam", "admin")
    assert call(node, "DELETE", "/users/ana/second-factor", "adam").status_code == 204
    assert sign_in(node, "ana").status_code == 201
    assert ("adam", "remove_second_factor", "ana") in acts(node)
    enrolled(node, clock)
    for user in ("adam", "bob"):
        assert call(node, "DELETE", "/users/bob/second-factor", user).status_code == 403


def test_a_role_that_needs_one_may_do_nothing_without(node: NodeUnderTest, clock: MovingClock) -> None:
    node.as_("adam", "admin")
    node.node.settings.second_factor_roles = frozenset({RoleName.OWNER, RoleName.ADMIN})
    for user in ("bob", "adam"):
        for path in ("/users", "/users/melissa/sessions", "/datasets", "/node/anything"):
            answer = call(node, "GET", path, user)
            assert answer.status_code == (404 if path == "/node/anything" else 403)
            assert answer.status_code == 404 or "second factor" in answer.json()["detail"]
    enrolled(node, clock)
    assert call(node, "GET", "/users").status_code == 200
    assert call(node, "GET", "/users", "adam").status_code == 403


def test_who_lacks_a_needed_second_factor_reaches_no_data_that_a_list_gives(
    node: NodeUnderTest, clock: MovingClock
) -> None:
    access = {"discover": ["adam"], "compute": ["adam"], "raw": ["adam"]}
    node.as_("adam", "admin")
    made = publish(node, node.as_("bob"), {"weight": [3.5, 3.7]}, name="births", access=access)
    path = f"/datasets/{made['id']}"
    assert "raw" in call(node, "GET", path, "adam").json()["verbs"]
    node.node.settings.second_factor_roles = frozenset({RoleName.ADMIN})
    assert call(node, "GET", path, "adam").status_code == 403


# --- tokens for programs ---


def token_of(node: NodeUnderTest, user: str, *scopes: str, lifetime_s: int = 3600) -> str:
    body = {"password": PASSWORD, "name": "nightly", "scopes": list(scopes), "lifetime_s": lifetime_s}
    made = call(node, "POST", "/service-tokens", user, **body)
    assert made.status_code == 201, made.text
    return str(made.json()["token"])


def with_token(node: NodeUnderTest, token: str, method: str, path: str, **body: Any) -> Any:
    headers = {"Authorization": f"Bearer {token}"}
    return node.client.request(method, f"/v1{path}", json=body or None, headers=headers)


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
