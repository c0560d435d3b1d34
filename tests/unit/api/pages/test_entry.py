"""Signing in to the pages: what the cookie is worth, what a form of another site gets, where links lead."""

import re
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy.exc import OperationalError

from gridward.server.browser import form_token
from gridward.server.db import Database
from tests.support.nodes import PASSWORD, NodeUnderTest

BROWSER = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin"}


def enter(node: NodeUnderTest, username: str = "bob", password: str = PASSWORD, **more: str) -> Response:
    form = {"username": username, "password": password} | more
    return node.client.post("/sign-in", data=form, headers=BROWSER, follow_redirects=False)


def token_on(answer: Response) -> str:
    found = re.search(r'name="form_token" value="([^"]+)"', answer.text)
    assert found
    return found[1]


def test_a_node_without_an_owner_leads_to_the_first_visit(fresh: NodeUnderTest) -> None:
    answer = fresh.client.get("/", headers=BROWSER)
    assert answer.url.path == "/claim"
    form = {"token": fresh.owner_token, "username": "bob", "password": PASSWORD}
    claimed = fresh.client.post("/claim", data=form, headers=BROWSER, follow_redirects=False)
    assert (claimed.status_code, claimed.headers["location"]) == (303, "/")
    assert fresh.client.get("/", headers=BROWSER).url.path == "/"


def test_who_is_not_signed_in_is_led_to_the_sign_in_and_back(node: NodeUnderTest) -> None:
    answer = node.client.get("/", headers=BROWSER)
    assert (answer.url.path, answer.url.params["next"]) == ("/sign-in", "/")
    assert enter(node, next="/account").headers["location"] == "/account"
    node.client.cookies.clear()
    filtered = node.client.get("/audit?action=sign_in&actor=a%26b", headers=BROWSER)
    assert filtered.url.params["next"] == "/audit?action=sign_in&actor=a%26b"
    assert 'name="next" value="/audit?action=sign_in&amp;actor=a%26b"' in filtered.text


@pytest.mark.parametrize(
    "elsewhere",
    ["//evil.test", "https://evil.test", "/\\evil.test", "\\evil", "javascript:alert(1)", "/ x", ""],
)
def test_nobody_is_led_to_another_host(node: NodeUnderTest, elsewhere: str) -> None:
    assert enter(node, next=elsewhere).headers["location"] == "/"
    shown = node.client.get("/sign-in", params={"next": elsewhere}, headers=BROWSER)
    assert 'name="next" value="/"' in shown.text


def test_the_cookie_is_kept_from_scripts_and_other_sites(node: NodeUnderTest) -> None:
    cookie = enter(node).headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=lax" in cookie.lower()
    over_https = TestClient(node.client.app, base_url="https://clinic.test")
    form = {"username": "bob", "password": PASSWORD}
    secure = over_https.post("/sign-in", data=form, headers=BROWSER, follow_redirects=False)
    assert secure.headers["set-cookie"].startswith("__Host-gridward-")
    assert "Secure" in secure.headers["set-cookie"]


def test_the_cookie_is_secure_behind_a_proxy_that_does_not_say_https(node: NodeUnderTest) -> None:
    node.node.accounts.settings.public_url = "https://clinic.test"
    cookie = enter(node).headers["set-cookie"]
    assert cookie.startswith("__Host-gridward-")
    assert "Secure" in cookie
    name, _, value = cookie.partition(";")[0].partition("=")
    sent = BROWSER | {"Cookie": f"{name}={value}"}
    page = node.client.get("/", headers=sent)
    assert page.url.path == "/"
    form = {"form_token": token_on(page)}
    left = node.client.post("/sign-out", data=form, headers=sent, follow_redirects=False)
    assert left.headers["set-cookie"].startswith(f'{name}="";')
    assert "Secure" in left.headers["set-cookie"]


def test_the_cookie_opens_pages_and_no_rest_and_a_token_no_page(node: NodeUnderTest) -> None:
    enter(node)
    assert node.client.get("/", headers=BROWSER).url.path == "/"
    assert node.client.get("/v1/users/me").status_code == 401
    node.client.cookies.clear()
    assert node.client.get("/", headers=BROWSER | node.as_("bob")).url.path == "/sign-in"


def test_the_cookie_is_no_refresh_token(node: NodeUnderTest) -> None:
    enter(node)
    (cookie,) = node.client.cookies.values()
    answer = node.client.post("/v1/sessions/refresh", json={"refresh_token": cookie})
    assert answer.status_code == 401
    assert node.client.get("/", headers=BROWSER).url.path == "/"


def test_a_refused_sign_in_says_so_in_place_and_as_a_page(node: NodeUnderTest) -> None:
    page = enter(node, password="wrong wrong wrong")
    assert page.status_code == 401
    assert "do not fit" in page.text
    assert page.text.startswith("<!doctype html>")
    form = {"username": "bob", "password": "wrong wrong wrong"}
    part = node.client.post("/sign-in", data=form, headers=BROWSER | {"HX-Request": "true"})
    assert part.headers["hx-retarget"] == "#refusal"
    assert "<html" not in part.text


@pytest.mark.parametrize(
    "origin",
    [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil.test"}],
)
def test_forms_of_other_sites_are_refused(node: NodeUnderTest, origin: dict[str, str]) -> None:
    form = {"username": "bob", "password": PASSWORD}
    answer = node.client.post("/sign-in", data=form, headers={"Accept": "text/html"} | origin)
    assert answer.status_code == 403
    assert not node.client.cookies


def test_a_form_needs_the_token_of_its_own_session(node: NodeUnderTest) -> None:
    enter(node)
    home = node.client.get("/", headers=BROWSER)
    forged = form_token(node.node.keys, "ses-another")
    for sent in ({}, {"form_token": ""}, {"form_token": forged}, {"form_token": "ü"}):
        answer = node.client.post("/sign-out", data=sent, headers=BROWSER)
        assert answer.status_code == 403
    assert node.client.get("/", headers=BROWSER).url.path == "/"
    node.client.post("/sign-out", data={"form_token": token_on(home)}, headers=BROWSER)
    assert node.client.get("/", headers=BROWSER).url.path == "/sign-in"


def test_signing_out_ends_the_session_wherever_the_cookie_went(node: NodeUnderTest) -> None:
    enter(node)
    name, stolen = next(iter(node.client.cookies.items()))
    home = node.client.get("/", headers=BROWSER)
    node.client.post("/sign-out", data={"form_token": token_on(home)}, headers=BROWSER)
    node.client.cookies.set(name, stolen)
    assert node.client.get("/", headers=BROWSER).url.path == "/sign-in"


def test_an_idle_browser_is_signed_out_and_a_busy_one_is_not(
    node: NodeUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(node)
    began, lifetime = node.node.clock(), timedelta(seconds=node.node.settings.page_session_s)
    accounts = node.node.accounts
    passed = timedelta()
    monkeypatch.setattr(type(accounts), "clock", property(lambda _: lambda: began + passed), raising=False)
    for _ in range(4):
        passed += lifetime * 0.9
        assert node.client.get("/", headers=BROWSER).url.path == "/"
    passed += lifetime * 1.1
    assert node.client.get("/", headers=BROWSER).url.path == "/sign-in"


def test_pages_run_no_script_but_their_own_and_are_in_no_frame(node: NodeUnderTest) -> None:
    policy = node.client.get("/sign-in", headers=BROWSER).headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


def test_a_missing_page_is_a_page_and_a_missing_thing_of_rest_a_problem(node: NodeUnderTest) -> None:
    assert node.client.get("/nowhere", headers=BROWSER).text.startswith("<!doctype html>")
    answer = node.client.get("/v1/nowhere", headers=BROWSER)
    assert answer.headers["content-type"] == "application/problem+json"


def test_assets_stay_for_good_under_their_address(node: NodeUnderTest) -> None:
    page = node.client.get("/sign-in", headers=BROWSER).text
    addresses = re.findall(r'"(/static/[^"]+)"', page)
    assert len(set(addresses)) == 3
    for address in addresses:
        answer = node.client.get(address)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
    assert node.client.get("/static/0000000000000000/style.css").status_code == 404


@pytest.mark.parametrize("headers", [{}, {"HX-Request": "true"}])
def test_a_path_of_other_letters_is_led_to(node: NodeUnderTest, headers: dict[str, str]) -> None:
    form = {"username": "bob", "password": PASSWORD, "next": "/models/€?q=é%20&a=~b"}
    answer = node.client.post("/sign-in", data=form, headers=BROWSER | headers, follow_redirects=False)
    led = answer.headers.get("hx-redirect") or answer.headers["location"]
    assert led.replace("%7E", "~") == "/models/%E2%82%AC?q=%C3%A9%20&a=~b"


def test_pages_let_browsers_say_where_their_forms_come_from(node: NodeUnderTest) -> None:
    """Under `no-referrer`, a form over http has the origin null (Fetch, section 3.2)."""
    assert node.client.get("/sign-in", headers=BROWSER).headers["referrer-policy"] == "same-origin"
    form = {"username": "bob", "password": PASSWORD}
    plain = {"Accept": "text/html"}
    refused = node.client.post("/sign-in", data=form, headers=plain | {"Origin": "null"})
    assert refused.status_code == 403
    own = {"Origin": str(node.client.base_url)}
    taken = node.client.post("/sign-in", data=form, headers=plain | own, follow_redirects=False)
    assert taken.status_code == 303


def test_a_busy_database_is_a_page_and_not_a_failure(
    node: NodeUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(node)

    def busy(_: Database) -> None:
        raise OperationalError("", {}, Exception("database is locked"))

    monkeypatch.setattr(Database, "read", busy)
    answer = node.client.get("/datasets", headers=BROWSER)
    assert answer.status_code == 503
    assert answer.text.startswith("<!doctype html>")


@pytest.mark.parametrize("path", ["/sign-in", "/claim", "/forgot", "/accept", "/sign-in/oidc"])
def test_forms_of_strangers_take_no_files(node: NodeUnderTest, path: str) -> None:
    sent = node.client.post(path, data={"username": "bob"}, files={"file": b"x"}, headers=BROWSER)
    assert sent.status_code == 400
