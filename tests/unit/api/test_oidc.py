"""Signing in through a real provider on loopback: who gets in, as whom, and what a provider may not say."""

import base64
import hashlib
import re
import secrets
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from fastapi.testclient import TestClient
from joserfc.jwk import RSAKey
from sqlmodel import select

from gridward.api.main import create_app
from gridward.api.tables.accounts import AuditEntry, User
from gridward.api.tables.rules import Group, GroupMember
from gridward.client import browser_sign_in
from gridward.client.transport import Transport
from gridward.core.errors import BusyError, SecondFactorRequiredError
from gridward.server import mail, totp
from gridward.server.keys import make
from gridward.server.settings import NodeSettings
from tests.support.files import publish
from tests.support.nodes import PASSWORD, NodeUnderTest
from tests.support.oidc import (
    CLIENT,
    SECRET,
    Claims,
    ProviderUnderTest,
    back,
    query,
    running_provider,
    unsigned,
)
from tests.support.post import PostOffice

pytestmark = pytest.mark.filterwarnings("ignore:get_jwt_config")  # the provider's, of its Authlib
HTML = {"Accept": "text/html"}


@pytest.fixture(scope="module")
def server() -> Iterator[ProviderUnderTest]:
    with running_provider() as running:
        yield running


@pytest.fixture
def provider(server: ProviderUnderTest) -> Iterator[ProviderUnderTest]:
    kept = server.key
    yield server
    server.lie, server.sign, server.down, server.key = (lambda claims: claims), None, False, kept


Made = Callable[..., NodeUnderTest]


@pytest.fixture
def node_with(provider: ProviderUnderTest, tmp_path: Path) -> Iterator[Made]:
    """Start a node of bob's that trusts the provider, with further settings."""
    opened: list[TestClient] = []

    def start(**changed: Any) -> NodeUnderTest:
        secret = tmp_path / "oidc-secret"
        secret.write_text(SECRET + "\n")
        wanted = {
            "oidc_issuer": provider.issuer,
            "oidc_client_id": CLIENT,
            "oidc_client_secret_file": secret,
            "public_url": "http://testserver",
        }
        settings = NodeSettings(
            data_dir=tmp_path / "node", password_memory_kib=1024, password_passes=1, **(wanted | changed)
        )
        token = make(settings.data_dir)
        client = TestClient(create_app(settings), follow_redirects=False)
        client.__enter__()
        opened.append(client)
        node = NodeUnderTest(client, client.app.state.server, token)  # type: ignore[attr-defined]
        body = {"token": token, "username": "bob", "password": PASSWORD}
        assert client.post("/v1/setup", json=body).status_code == 201
        return node

    yield start
    for client in opened:
        client.__exit__(None, None, None)


@pytest.fixture
def node(node_with: Made) -> NodeUnderTest:
    return node_with()


def away(node: NodeUnderTest, **asked: str) -> str:
    """Begin, and return the provider's address."""
    answer = node.client.get("/sign-in/oidc", params=asked)
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


def came_back(node: NodeUnderTest, provider: ProviderUnderTest, subject: str, **asked: str) -> Any:
    """Begin, sign in there, and come back."""
    return node.client.get(back(provider.consent(away(node, **asked), subject)), headers=HTML)


def linked(node: NodeUnderTest, subject: str, username: str = "ana", role: str = "data_scientist") -> None:
    """An account that the owner linked to somebody at the provider."""
    node.as_(username, role)
    path = f"/v1/users/{username}/sign-in"
    answer = node.client.put(path, json={"subject": subject}, headers=node.as_("bob"))
    assert answer.status_code == 204, answer.text


class Program:
    """A program that waits for its ticket, without a browser."""

    def __init__(self, node: NodeUnderTest, provider: ProviderUnderTest) -> None:
        self.node, self.provider = node, provider
        self.verifier, self.state = secrets.token_urlsafe(48), secrets.token_urlsafe(32)

    def ticket(self, subject: str) -> str:
        digest = hashlib.sha256(self.verifier.encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        asked = {"port": "4242", "challenge": challenge, "state": self.state}
        answer = came_back(self.node, self.provider, subject, **asked)
        assert answer.status_code == 303, answer.text
        url = httpx2.URL(answer.headers["location"])
        assert (url.scheme, url.host, url.port, url.path) == ("http", "127.0.0.1", 4242, "/")
        assert query(str(url))["state"] == self.state
        return query(str(url))["ticket"]

    def exchange(self, ticket: str, **more: str) -> Any:
        body = {"ticket": ticket, "verifier": self.verifier} | more
        return self.node.client.post("/v1/sign-in/oidc", json=body)

    def sign_in(self, subject: str, **more: str) -> Any:
        return self.exchange(self.ticket(subject), **more)


def me(node: NodeUnderTest, session: Any) -> Any:
    headers = {"Authorization": f"Bearer {session.json()['access_token']}"}
    return node.client.get("/v1/users/me", headers=headers).json()


def test_a_linked_person_signs_in_and_comes_to_the_page_they_wanted(
    node: NodeUnderTest, provider: ProviderUnderTest
) -> None:
    linked(node, "ana-1")
    answer = came_back(node, provider, "ana-1", next="/account")
    assert (answer.status_code, answer.headers["location"]) == (303, "/account")
    shown = node.client.get("/", headers=HTML)
    assert shown.status_code == 200
    assert ">ana</a>" in shown.text


def test_the_address_asks_for_a_code_with_state_nonce_and_a_challenge(
    node: NodeUnderTest, provider: ProviderUnderTest
) -> None:
    first, second = (query(away(node)) for _ in range(2))
    assert first["redirect_uri"] == "http://testserver/sign-in/oidc/callback"
    assert (first["response_type"], first["code_challenge_method"]) == ("code", "S256")
    for name in ("state", "nonce", "code_challenge"):
        assert len(first[name]) >= 43
        assert first[name] != second[name]


def test_nobody_is_led_to_another_host(node: NodeUnderTest, provider: ProviderUnderTest) -> None:
    linked(node, "ana-1")
    evil = ("//e.example", "/\\e.example", "https://e.example", "\\\\e.example", "javascript:x", "/\n")
    for wanted in evil:
        answer = came_back(node, provider, "ana-1", next=wanted)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_what_began_in_one_browser_is_not_finished_in_another(
    node: NodeUnderTest, provider: ProviderUnderTest
) -> None:
    linked(node, "ana-1")
    location = back(provider.consent(away(node), "ana-1"))
    kept = dict(node.client.cookies)
    node.client.cookies.clear()
    assert node.client.get(location, headers=HTML).status_code == 401
    away(node)  # the other browser has a cookie too, of its own sign-in
    assert node.client.get(location, headers=HTML).status_code == 401
    node.client.cookies.clear()
    node.client.cookies.update(kept)
    assert node.client.get(location, headers=HTML).status_code == 303


def test_a_way_back_counts_once(node: NodeUnderTest, provider: ProviderUnderTest) -> None:
    linked(node, "ana-1")
    location = back(provider.consent(away(node), "ana-1"))
    kept, redeemed = dict(node.client.cookies), provider.redeemed
    assert node.client.get(location).status_code == 303
    node.client.cookies.clear()
    node.client.cookies.update(kept)
    again = node.client.get(location, headers=HTML)
    assert (again.status_code, provider.redeemed) == (401, redeemed + 1)
    assert "came back before" in again.text


def test_a_wrong_state_reaches_no_provider(node: NodeUnderTest, provider: ProviderUnderTest) -> None:
    location, redeemed = provider.consent(away(node), "ana-1"), provider.redeemed
    assert node.client.get(back(location, state="s" * 43), headers=HTML).status_code == 401
    assert provider.redeemed == redeemed


def another_key(provider: ProviderUnderTest, claims: Claims) -> str:
    return ProviderUnderTest(key=RSAKey.generate_key(2048, {"kid": "one"})).signed(claims)


def public_key_as_a_secret(provider: ProviderUnderTest, claims: Claims) -> str:
    import hmac
    import json

    def encoded(part: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")

    signed = f"{encoded({'alg': 'HS256', 'kid': 'one'})}.{encoded(claims)}"
    code = hmac.digest(provider.key.as_pem(private=False), signed.encode(), "sha256")
    return f"{signed}.{base64.urlsafe_b64encode(code).decode().rstrip('=')}"


LIES: dict[str, Callable[[Claims], Claims]] = {
    "wrong nonce": lambda claims: claims | {"nonce": "n" * 43},
    "no nonce": lambda claims: {name: said for name, said in claims.items() if name != "nonce"},
    "another audience": lambda claims: claims | {"aud": "somebody else"},
    "several audiences without the party": lambda claims: claims | {"aud": [CLIENT, "somebody else"]},
    "another authorized party": lambda claims: claims | {"aud": [CLIENT, "b"], "azp": "b"},
    "expired": lambda claims: claims | {"exp": int(claims["iat"]) - 60},
    "from the future": lambda claims: claims | {"iat": int(claims["iat"]) + 3600},
    "without an end": lambda claims: {name: said for name, said in claims.items() if name != "exp"},
    "not a time": lambda claims: claims | {"exp": "tomorrow"},
    "another issuer": lambda claims: claims | {"iss": "https://evil.example"},
    "about nobody": lambda claims: claims | {"sub": ""},
    "about a list": lambda claims: claims | {"sub": ["ana-1"]},
}


def test_a_token_with_a_false_claim_lets_nobody_in(node_with: Made, provider: ProviderUnderTest) -> None:
    node = node_with(sign_in_attempts=100)
    linked(node, "ana-1")
    for name, lie in LIES.items():
        provider.lie = lie
        answer = came_back(node, provider, "ana-1")
        assert (answer.status_code, "location" in answer.headers) == (401, False), name
    provider.lie = lambda claims: claims
    assert came_back(node, provider, "ana-1").status_code == 303


def test_a_token_that_is_not_signed_by_the_providers_private_key_lets_nobody_in(
    node: NodeUnderTest, provider: ProviderUnderTest
) -> None:
    linked(node, "ana-1")
    for sign in (unsigned, another_key, public_key_as_a_secret):
        provider.sign = sign
        answer = came_back(node, provider, "ana-1")
        assert (answer.status_code, "location" in answer.headers) == (401, False)


def test_a_provider_may_change_its_keys(node: NodeUnderTest, provider: ProviderUnderTest) -> None:
    linked(node, "ana-1")
    assert came_back(node, provider, "ana-1").status_code == 303
    node.node.accounts.provider._keys_at -= 60  # type: ignore[union-attr]  # not just now
    provider.key = RSAKey.generate_key(2048, {"kid": "two"})
    provider.sign = lambda self, claims: self.signed(claims, kid="two")
    assert came_back(node, provider, "ana-1").status_code == 303


def test_an_answer_of_another_issuer_is_refused(node: NodeUnderTest, provider: ProviderUnderTest) -> None:
    location = provider.consent(away(node), "ana-1")
    answer = node.client.get(back(location, iss="https://evil.example"), headers=HTML)
    assert answer.status_code == 401


def test_a_person_who_says_no_is_told_so(node: NodeUnderTest, provider: ProviderUnderTest) -> None:
    for said, shown in (("access_denied", "access_denied"), ("<b>x</b>", "no reason")):
        address = away(node)
        location = provider.consent(address, "ana-1", "deny")  # it forgets the state, which RFC 6749 wants
        answer = node.client.get(back(location, state=query(address)["state"], error=said), headers=HTML)
        assert answer.status_code == 401
        assert f"let nobody in: {shown}" in answer.text


def test_a_provider_that_is_down_is_said_to_be_and_comes_back(
    node: NodeUnderTest, provider: ProviderUnderTest
) -> None:
    provider.down = True
    answer = node.client.get("/sign-in/oidc")
    assert (answer.status_code, answer.json()["code"]) == (503, "busy")
    provider.down = False
    assert node.client.get("/sign-in/oidc").status_code == 503  # nobody waits for it again at once
    node.node.accounts.provider._failed_at -= 60  # type: ignore[union-attr]
    assert node.client.get("/sign-in/oidc").status_code == 303


def test_a_provider_with_another_name_than_the_settings_is_refused(
    node_with: Made, provider: ProviderUnderTest
) -> None:
    node = node_with(oidc_issuer=provider.issuer + "/")
    answer = node.client.get("/sign-in/oidc")
    assert (answer.status_code, answer.json()["code"]) == (503, "busy")


def test_a_stranger_gets_in_with_an_invitation_only_and_is_that_account_from_then_on(
    node: NodeUnderTest, provider: ProviderUnderTest
) -> None:
    node.client.post("/v1/users", json={"username": "dan", "invited": True}, headers=node.as_("bob"))
    token = node.client.post("/v1/users/dan/invitation", headers=node.as_("bob")).json()["token"]
    provider.person("dan-7", email="dan@example.org", email_verified=True, preferred_username="bob")
    program = Program(node, provider)
    ticket = program.ticket("dan-7")
    refused = program.exchange(ticket)
    assert (refused.status_code, refused.json()["code"]) == (401, "not_signed_in")
    assert program.exchange(ticket, invitation="x" * 32).status_code == 401
    answer = program.exchange(ticket, invitation=token)
    assert answer.status_code == 201, answer.text
    described = me(node, answer)
    assert (described["username"], described["oidc"]) == ("dan", True)
    assert node.sign_in("dan", "").status_code == 401
    assert program.sign_in("dan-7").status_code == 201
    assert program.sign_in("mallory-8", invitation=token).status_code == 401


def test_the_page_asks_a_stranger_for_the_invitation(
    node: NodeUnderTest, provider: ProviderUnderTest
) -> None:
    node.client.post("/v1/users", json={"username": "dan", "invited": True}, headers=node.as_("bob"))
    token = node.client.post("/v1/users/dan/invitation", headers=node.as_("bob")).json()["token"]
    page = came_back(node, provider, "dan-7")
    assert (page.status_code, 'name="invitation"' in page.text) == (200, True)
    ticket = page.text.split('name="ticket" value="')[1].split('"')[0]
    body = {"ticket": ticket, "invitation": token}
    assert (
        node.client.post("/sign-in/oidc", data=body, headers={"Origin": "https://evil.example"}).status_code
        == 403
    )
    answer = node.client.post("/sign-in/oidc", data=body)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert (
        node.client.post("/v1/sign-in/oidc", json={"ticket": ticket, "verifier": "v" * 43}).status_code == 401
    )


def test_an_account_is_never_found_by_name_or_address(
    node: NodeUnderTest, provider: ProviderUnderTest
) -> None:
    node.as_("ana")
    node.client.put(
        "/v1/users/me/mail", json={"email": "ana@example.org", "password": PASSWORD}, headers=node.as_("ana")
    )
    provider.person("eve-9", email="ana@example.org", email_verified=True, preferred_username="ana")
    assert Program(node, provider).sign_in("eve-9").status_code == 401


def test_whoever_comes_gets_an_account_where_the_settings_say_so(
    node_with: Made, provider: ProviderUnderTest
) -> None:
    node = node_with(
        oidc_new_accounts="guest",
        oidc_roles={"stewards": "data_officer", "staff": "data_scientist"},
        oidc_scopes="openid email profile groups",
    )
    node.as_("ana")
    provider.person("1", preferred_username="Gus", email="gus@example.org", email_verified=True)
    provider.person("2", preferred_username="sam", groups=["staff", "stewards", "x"])
    provider.person("3", preferred_username="ana", groups=["staff"])
    provider.person("4", preferred_username="not a name")
    answers = {who: Program(node, provider).sign_in(who) for who in "1234"}
    assert [answer.status_code for answer in answers.values()] == [201, 201, 409, 401]
    gus, sam = me(node, answers["1"]), me(node, answers["2"])
    assert (gus["username"], gus["role"], gus["email"]) == ("gus", "guest", "gus@example.org")
    assert (sam["username"], sam["role"], sam["email"]) == ("sam", "data_officer", None)
    provider.person("2", preferred_username="samuel", groups=[])
    again = me(node, Program(node, provider).sign_in("2"))
    assert (again["username"], again["role"]) == ("sam", "data_officer")
    with node.node.database.read() as db:
        made = db.exec(select(AuditEntry).where(AuditEntry.action == "create_user")).all()
        assert db.exec(select(User).where(User.username == "samuel")).first() is None
    assert {row.reason for row in made if row.subject in ("gus", "sam")} == {"came from the provider"}


def test_nobody_comes_by_a_name_that_a_rule_or_a_group_keeps_for_somebody(
    node_with: Made, provider: ProviderUnderTest
) -> None:
    node = node_with(oidc_new_accounts="data_scientist")
    data = publish(node, node.as_("bob"), {"w": [1.0, 2.0]}, name="d", access={"discover": ["zoe"]})
    provider.person("mallory-1", preferred_username="zoe")
    refused = Program(node, provider).sign_in("mallory-1")
    assert (refused.status_code, refused.json()["code"]) == (401, "not_signed_in")
    with node.node.database.write() as db:  # no route names an unknown member
        db.add(Group(name="ward", made_by="bob", made_at=node.node.clock()))
        db.flush()
        db.add(GroupMember(group_name="ward", member="yan"))
    provider.person("mallory-1", preferred_username="yan")
    assert Program(node, provider).sign_in("mallory-1").status_code == 401
    node.client.post("/v1/users", json={"username": "zoe", "invited": True}, headers=node.as_("bob"))
    token = node.client.post("/v1/users/zoe/invitation", headers=node.as_("bob")).json()["token"]
    session = Program(node, provider).sign_in("zoe-1", invitation=token)
    headers = {"Authorization": f"Bearer {session.json()['access_token']}"}
    assert node.client.get(f"/v1/datasets/{data['id']}", headers=headers).status_code == 200


def test_what_is_no_string_is_no_name(node_with: Made, provider: ProviderUnderTest) -> None:
    node = node_with(oidc_new_accounts="guest")
    for name in (None, True, 12345, ["gus"]):
        provider.person("1", preferred_username=name)
        assert Program(node, provider).sign_in("1").status_code == 401, name


def test_only_verified_addresses_of_the_named_domains_may_come(
    node_with: Made, provider: ProviderUnderTest
) -> None:
    node = node_with(oidc_new_accounts="guest", oidc_email_domains=frozenset({"example.org"}))
    provider.person("1", preferred_username="gus", email="gus@example.org", email_verified=True)
    provider.person("2", preferred_username="sam", email="sam@example.org", email_verified=False)
    provider.person("3", preferred_username="eve", email="eve@example.org.evil", email_verified=True)
    provider.person("4", preferred_username="dan")
    found = [came_back(node, provider, who).status_code for who in "1234"]
    assert found == [303, 401, 401, 401]


def test_a_locked_account_gets_in_by_no_door(node: NodeUnderTest, provider: ProviderUnderTest) -> None:
    linked(node, "ana-1")
    program = Program(node, provider)
    ticket = program.ticket("ana-1")
    node.client.patch("/v1/users/ana", json={"disabled": True}, headers=node.as_("bob"))
    assert program.exchange(ticket).status_code == 401
    assert came_back(node, provider, "ana-1").status_code == 401


def test_a_ticket_counts_once_for_the_program_that_waits_and_not_for_long(
    node: NodeUnderTest, provider: ProviderUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    linked(node, "ana-1")
    program, thief = Program(node, provider), Program(node, provider)
    ticket = program.ticket("ana-1")
    assert thief.exchange(ticket).status_code == 401
    assert node.client.post("/sign-in/oidc", data={"ticket": ticket}).status_code == 401
    assert program.exchange(ticket).status_code == 201
    assert program.exchange(ticket).status_code == 401
    monkeypatch.setattr("gridward.server.oidc.flow.TICKET_S", -1.0)
    assert program.sign_in("ana-1").status_code == 401


def test_the_accounts_own_second_factor_is_asked_for_after_the_provider(
    node: NodeUnderTest, provider: ProviderUnderTest
) -> None:
    linked(node, "ana-1")
    secret = with_second_factor(node, "ana")
    program = Program(node, provider)
    ticket = program.ticket("ana-1")
    refused = program.exchange(ticket)
    assert (refused.status_code, refused.json()["code"]) == (401, "second_factor_required")
    assert program.exchange(ticket, code="000000").json()["code"] == "wrong_credentials"
    assert program.exchange(ticket, code=next_code(secret)).status_code == 201
    page = came_back(node, provider, "ana-1")
    assert (page.status_code, 'name="code"' in page.text) == (200, True)


def test_a_mailed_reset_links_nobody(
    node_with: Made, provider: ProviderUnderTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail, "PAUSE_S", 3600)
    post = PostOffice(tmp_path)
    with post.open():
        node = node_with(oidc_second_factor=["mfa"], **post.settings())
        body = {"email": "ana@example.org", "password": PASSWORD}
        assert node.client.put("/v1/users/me/mail", json=body, headers=node.as_("ana")).status_code == 200
        assert node.client.post("/v1/password-resets", json={"username": "ana"}).status_code == 202
        mail.deliver(node.node.accounts)
    token = re.findall(r"^    (\S{32})\s*$", str(post.letters[-1].get_content()), re.MULTILINE)[0]
    provider.person("mallory-1", amr=["mfa"])
    program = Program(node, provider)
    refused = [program.sign_in("mallory-1", invitation=one) for one in (token, "x" * 32)]
    assert [answer.status_code for answer in refused] == [401, 401]
    assert len({answer.json()["detail"] for answer in refused}) == 1
    assert described(node, "ana")["oidc"] is False
    body = {"token": token, "password": "a new password"}
    assert node.client.post("/v1/invitations", json=body).status_code == 200


def test_an_invitation_links_an_account_with_a_second_factor_with_its_own_code_only(
    node_with: Made, provider: ProviderUnderTest
) -> None:
    node = node_with(oidc_second_factor=["mfa"])
    node.as_("ana")
    secret = with_second_factor(node, "ana")
    token = node.client.post("/v1/users/ana/invitation", headers=node.as_("bob")).json()["token"]
    provider.person("ana-1", amr=["mfa"])
    program = Program(node, provider)
    ticket = program.ticket("ana-1")
    for code, said in (({}, "second_factor_required"), ({"code": "000000"}, "wrong_credentials")):
        assert program.exchange(ticket, invitation=token, **code).json()["code"] == said
        assert described(node, "ana")["oidc"] is False
    assert program.exchange(ticket, invitation=token, code=next_code(secret)).status_code == 201
    assert described(node, "ana")["oidc"] is True


def test_wrong_and_missing_codes_after_the_provider_are_written_down(
    node: NodeUnderTest, provider: ProviderUnderTest
) -> None:
    linked(node, "ana-1")
    with_second_factor(node, "ana")
    program = Program(node, provider)
    ticket = program.ticket("ana-1")
    program.exchange(ticket)
    program.exchange(ticket, code="000000")
    with node.node.database.read() as db:
        refused = db.exec(select(AuditEntry).where(AuditEntry.decision == "refused")).all()
    assert [(row.action, row.subject, row.reason.partition(": ")[2]) for row in refused] == [
        ("sign_in", "ana", "the code is missing"),
        ("sign_in", "ana", "the code is wrong"),
    ]


def described(node: NodeUnderTest, user: str) -> Any:
    return node.client.get(f"/v1/users/{user}", headers=node.as_("bob")).json()


def with_second_factor(node: NodeUnderTest, user: str) -> bytes:
    secret = totp.new_secret()
    with node.node.database.write() as db:
        row = db.exec(select(User).where(User.username == user)).one()
        row.totp_sealed, row.totp_active = totp.seal(node.node.keys, row.id, secret), True
        db.add(row)
    return secret


def next_code(secret: bytes) -> str:
    now = node_time()
    return TOTP(secret, 6, totp.SHA1(), 30).generate(now).decode()


def node_time() -> int:
    import time

    return int(time.time())


def test_a_role_that_needs_a_second_factor_has_it_if_the_provider_saw_one(
    node_with: Made, provider: ProviderUnderTest
) -> None:
    node = node_with(
        second_factor_roles=frozenset({"data_officer"}), oidc_second_factor=frozenset({"mfa", "urn:strong"})
    )
    linked(node, "olaf-1", "olaf", "data_officer")
    for claims, status in (
        ({}, 403),
        ({"amr": ["pwd"]}, 403),
        ({"amr": ["pwd", "mfa"]}, 200),
        ({"acr": "urn:strong"}, 200),
    ):
        provider.lie = lambda said, more=claims: said | more
        session = Program(node, provider).sign_in("olaf-1")
        headers = {"Authorization": f"Bearer {session.json()['access_token']}"}
        assert node.client.get("/v1/requests", headers=headers).status_code == status


def test_an_account_without_a_password_proves_itself_by_a_fresh_sign_in(
    node_with: Made, provider: ProviderUnderTest
) -> None:
    node = node_with(second_factor_roles=frozenset({"guest"}), oidc_new_accounts="guest")
    provider.person("1", preferred_username="gus")
    session = Program(node, provider).sign_in("1")
    headers = {"Authorization": f"Bearer {session.json()['access_token']}"}
    assert node.client.get("/v1/requests", headers=headers).status_code == 403
    begun = node.client.post("/v1/users/me/second-factor", json={"password": ""}, headers=headers)
    assert begun.status_code == 201, begun.text
    with node.node.database.write() as db:
        row = db.get(node.node.accounts.tables.session, session.json()["session_id"])
        assert row is not None
        row.created_at = row.created_at.replace(year=2020)
        db.add(row)
    late = node.client.post("/v1/users/me/second-factor", json={"password": ""}, headers=headers)
    assert (late.status_code, late.json()["code"]) == (401, "wrong_credentials")


def test_another_address_of_an_account_without_a_password_takes_a_fresh_sign_in(
    node_with: Made, provider: ProviderUnderTest
) -> None:
    node = node_with(oidc_new_accounts="guest")
    provider.person("1", preferred_username="gus", email="gus@example.org", email_verified=True)
    session = Program(node, provider).sign_in("1")
    headers = {"Authorization": f"Bearer {session.json()['access_token']}"}

    def takes(address: str) -> int:
        body = {"email": address}
        return node.client.put("/v1/users/me/mail", json=body, headers=headers).status_code

    assert takes("new@example.org") == 200
    with node.node.database.write() as db:
        row = db.get(node.node.accounts.tables.session, session.json()["session_id"])
        assert row is not None
        row.created_at -= timedelta(minutes=11)
        db.add(row)
    assert (takes("evil@example.net"), takes("new@example.org")) == (401, 200)


def test_a_holder_links_an_account_with_its_password(
    node: NodeUnderTest, provider: ProviderUnderTest
) -> None:
    node.as_("ana")
    program = Program(node, provider)
    body = {"ticket": program.ticket("ana-1"), "verifier": program.verifier, "password": "not this one"}
    link = ("/v1/users/me/sign-in", node.as_("ana"))
    assert node.client.put(link[0], json=body, headers=link[1]).status_code == 401
    assert node.client.put(link[0], json=body | {"password": PASSWORD}, headers=link[1]).status_code == 204
    assert me(node, program.sign_in("ana-1"))["username"] == "ana"
    node.as_("eve")
    other = body | {"ticket": program.ticket("ana-1"), "password": PASSWORD}
    assert node.client.put(link[0], json=other, headers=node.as_("eve")).status_code == 409


def test_who_may_not_manage_an_account_links_nobody_to_it(
    node: NodeUnderTest, provider: ProviderUnderTest
) -> None:
    node.as_("carol", "admin")
    body = {"subject": "mallory"}
    for who, whom in (("carol", "bob"), ("carol", "carol"), ("ana", "carol"), ("bob", "bob")):
        answer = node.client.put(f"/v1/users/{whom}/sign-in", json=body, headers=node.as_(who))
        assert answer.status_code == 403, (who, whom)


def test_an_unlinked_person_stays_out_and_is_signed_out(
    node: NodeUnderTest, provider: ProviderUnderTest
) -> None:
    linked(node, "ana-1")
    session = Program(node, provider).sign_in("ana-1")
    headers = {"Authorization": f"Bearer {session.json()['access_token']}"}
    body = {"password": PASSWORD, "name": "n", "scopes": ["compute"], "lifetime_s": 86_400}
    token = node.client.post("/v1/service-tokens", json=body, headers=headers).json()["token"]
    by_token = {"Authorization": f"Bearer {token}"}
    assert node.client.get("/v1/users/me", headers=by_token).status_code == 200
    assert node.client.delete("/v1/users/ana/sign-in", headers=node.as_("bob")).status_code == 204
    for one in (session.json()["access_token"], token):
        headers = {"Authorization": f"Bearer {one}"}
        assert node.client.get("/v1/users/me", headers=headers).status_code == 401
    assert Program(node, provider).sign_in("ana-1").status_code == 401


def test_a_server_without_a_provider_says_so(node_with: Made) -> None:
    node = node_with(oidc_issuer=None)
    assert node.client.get("/v1/sign-in").json() == {"password": True, "oidc": None}
    assert node.client.get("/sign-in/oidc").status_code == 404
    assert "/sign-in/oidc" not in node.client.get("/sign-in", headers=HTML).text
    body = {"ticket": "0f" * 40, "verifier": "v" * 43}
    assert node.client.post("/v1/sign-in/oidc", json=body).status_code == 404


def test_the_sign_in_page_offers_the_provider(node: NodeUnderTest) -> None:
    page = node.client.get("/sign-in?next=/account", headers=HTML).text
    assert '<a href="/sign-in/oidc?next=/account">' in page


def test_a_program_waits_for_its_browser(node: NodeUnderTest, provider: ProviderUnderTest) -> None:
    linked(node, "ana-1")
    calls = Transport("http://testserver", http=node.client)
    seen: list[int] = []

    def browse(address: str) -> None:
        def go() -> None:
            answer = node.client.get(address)
            sent_back = provider.consent(str(answer.headers["location"]), "ana-1")
            home = str(node.client.get(back(sent_back)).headers["location"])
            for url in (home.replace("state=", "state=x"), home):
                seen.append(httpx2.get(url, trust_env=False).status_code)

        threading.Thread(target=go).start()

    session = browser_sign_in.open_session(calls, browse, wait_s=10)
    assert session.access_token
    assert seen[0] == 404
    with_second_factor(node, "ana")
    with pytest.raises(SecondFactorRequiredError):
        browser_sign_in.open_session(calls, browse, wait_s=10)


def test_a_slow_or_talkative_provider_is_left(node: NodeUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gridward.server.oidc.provider._MOST_BYTES", 10)
    with pytest.raises(BusyError, match="too much"):
        node.node.accounts.provider.metadata()  # type: ignore[union-attr]


def test_the_cookie_on_the_way_is_secure_where_the_node_is_reached_over_https(node_with: Made) -> None:
    answer = node_with(public_url="https://clinic.test").client.get("/sign-in/oidc")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-gridward-oidc-")
    assert "Secure" in cookie
