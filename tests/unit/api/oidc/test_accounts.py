"""Whose account it is when somebody comes from the provider."""

import re
from pathlib import Path

import pytest
from sqlmodel import select

from gridward.api.tables.accounts import AuditEntry, User
from gridward.api.tables.rules import Group, GroupMember
from gridward.server import mail
from tests.support.files import publish
from tests.support.letters import confirmed
from tests.support.nodes import PASSWORD, NodeUnderTest
from tests.support.oidc import (
    ProviderUnderTest,
)
from tests.support.oidc_visits import Made, Program, came_back, described, linked, me
from tests.support.post import PostOffice

pytestmark = pytest.mark.filterwarnings("ignore:get_jwt_config")  # the provider's, of its Authlib


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
    assert gus["email_confirmed"] is True  # the provider says so
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


def test_a_mailed_reset_links_nobody(
    node_with: Made, provider: ProviderUnderTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail, "PAUSE_S", 3600)
    post = PostOffice(tmp_path)
    with post.open():
        node = node_with(oidc_second_factor=["mfa"], **post.settings())
        body = {"email": "ana@example.org", "password": PASSWORD}
        assert node.client.put("/v1/users/me/mail", json=body, headers=node.as_("ana")).status_code == 200
        confirmed(node, "ana")
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
