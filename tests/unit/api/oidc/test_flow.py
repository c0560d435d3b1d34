"""Signing in through a real provider on loopback: the way there and back, and who cannot finish it."""

import threading

import httpx2
import pytest

from gridward.client import browser_sign_in
from gridward.client.transport import Transport
from gridward.core.errors import SecondFactorRequiredError
from tests.support.nodes import NodeUnderTest
from tests.support.oidc import (
    ProviderUnderTest,
    back,
    query,
)
from tests.support.oidc_visits import HTML, Made, Program, away, came_back, linked, with_second_factor

pytestmark = pytest.mark.filterwarnings("ignore:get_jwt_config")  # the provider's, of its Authlib


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


def test_a_person_who_says_no_is_told_so(node: NodeUnderTest, provider: ProviderUnderTest) -> None:
    for said, shown in (("access_denied", "access_denied"), ("<b>x</b>", "no reason")):
        address = away(node)
        location = provider.consent(address, "ana-1", "deny")  # it forgets the state, which RFC 6749 wants
        answer = node.client.get(back(location, state=query(address)["state"], error=said), headers=HTML)
        assert answer.status_code == 401
        assert f"let nobody in: {shown}" in answer.text


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


def test_the_cookie_on_the_way_is_secure_where_the_node_is_reached_over_https(node_with: Made) -> None:
    answer = node_with(public_url="https://clinic.test").client.get("/sign-in/oidc")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-gridward-oidc-")
    assert "Secure" in cookie
