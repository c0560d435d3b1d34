"""Second factors and fresh sign-ins of those who come from the provider."""

from datetime import timedelta

import pytest
from sqlmodel import select

from gridward.api.tables.accounts import AuditEntry
from tests.support.nodes import NodeUnderTest
from tests.support.oidc import (
    ProviderUnderTest,
)
from tests.support.oidc_visits import (
    Made,
    Program,
    came_back,
    described,
    linked,
    next_code,
    with_second_factor,
)

pytestmark = pytest.mark.filterwarnings("ignore:get_jwt_config")  # the provider's, of its Authlib


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
