"""Pages of other people's accounts: who may look, what is shown once, what nobody may do."""

import re
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest

from gridward.server.settings import NodeSettings
from tests.support.nodes import PASSWORD, NodeUnderTest, running_node
from tests.support.visitors import BROWSER, Visitor, forms_on, text_of

NEW = "a new and better password"


@pytest.fixture
def bob(node: NodeUnderTest) -> Visitor:
    return Visitor(node.client, "bob")


def link_on(page: str) -> str:
    found = re.search(r'aria-label="The link"><code>([^<]+)</code>', page)
    assert found
    return unescape(found[1])


def test_an_invitation_is_a_link_that_is_shown_once_and_works(bob: Visitor, node: NodeUnderTest) -> None:
    made = bob.sends("/users", username="ana", role="data_scientist", invited="true")
    link = urlsplit(link_on(made.text))
    token = parse_qs(link.query)["token"][0]
    assert (link.netloc, link.path) == ("testserver", "/accept")
    assert token not in bob.shows("/users") + bob.shows("/users/ana")
    stranger = node.client
    assert token in stranger.get(f"/accept?{link.query}", headers=BROWSER).text
    form = {"token": token, "password": NEW}
    assert stranger.post("/accept", data=form, headers=BROWSER).url.path == "/sign-in"
    Visitor(node.client, "ana", NEW)


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ({"username": "ana", "role": "guest", "password": PASSWORD}, "ana"),
        ({"username": "dana@grid", "role": "data_scientist"}, "dana@grid"),
    ],
)
def test_accounts_are_made_in_other_ways(bob: Visitor, form: dict[str, str], name: str) -> None:
    made = bob.sends("/users", **form)
    assert made.url.path == f"/users/{name}"
    assert name in text_of(bob.shows("/users"))


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"username": "bob", "role": "guest", "password": PASSWORD}, 409),
        ({"username": "<script>alert(1)</script>", "role": "guest", "password": PASSWORD}, 422),
        ({"username": "ana", "role": "king", "password": PASSWORD}, 422),
        ({"username": "ana", "role": "guest", "password": "short"}, 422),
        ({"username": "ana", "role": "guest"}, 422),
        ({"username": "", "role": "guest", "password": PASSWORD}, 422),
    ],
)
def test_what_may_not_be_made_is_not(bob: Visitor, form: dict[str, str], status: int) -> None:
    answer = bob.send("/users", **form)
    assert answer.status_code == status
    assert "<script>alert" not in answer.text
    assert "1 account " in text_of(bob.shows("/users"))


@pytest.mark.parametrize("role", ["data_officer", "compliance_officer", "data_scientist", "guest"])
def test_only_those_who_manage_accounts_see_them(bob: Visitor, node: NodeUnderTest, role: str) -> None:
    node.as_("ana", role)
    ana = Visitor(node.client, "ana")
    assert 'href="/users"' not in ana.shows("/")
    for path in ("/users", "/users/bob", "/users/nobody"):
        assert ana.get(path).status_code == 403
    for path, form in (
        ("/users", {"username": "eve", "role": "guest", "invited": "true"}),
        ("/users/ana", {"role": "owner"}),
        ("/users/bob", {"disabled": "true"}),
        ("/users/bob/invitation", {}),
        ("/users/bob/sessions/end", {}),
        ("/users/bob/second-factor/removal", {}),
    ):
        assert ana.send(path, **form).status_code == 403
    assert bob.get("/users").status_code == 200


def test_an_administrator_grants_nothing_beyond_their_own(bob: Visitor, node: NodeUnderTest) -> None:
    node.as_("adam", "admin")
    adam = Visitor(node.client, "adam")
    page = adam.shows("/users")
    assert 'value="data_officer"' in page
    assert 'value="owner"' not in page
    assert 'href="/users/adam"' in page
    assert 'href="/users/bob"' not in page
    assert adam.send("/users", username="eve", role="owner", invited="true").status_code == 403
    assert adam.get("/users/bob").status_code == 403
    assert adam.send("/users/bob", disabled="true").status_code == 403
    assert adam.send("/users/bob/invitation").status_code == 403
    assert "This is you" in text_of(adam.shows("/users/adam"))
    assert forms_on(adam.shows("/users/adam")) == set()
    assert adam.send("/users/adam", role="guest").status_code == 403


def test_roles_change_and_accounts_are_locked_and_unlocked(bob: Visitor, node: NodeUnderTest) -> None:
    node.as_("ana")
    ana = Visitor(node.client, "ana")
    assert "data officer" in text_of(bob.sends("/users/ana", role="data_officer").text)
    assert "Unlock the account" in bob.sends("/users/ana", disabled="true").text
    assert ana.get("/").url.path == "/sign-in"
    assert "Lock the account" in bob.sends("/users/ana", disabled="false").text
    Visitor(node.client, "ana")


def test_sessions_of_others_are_listed_and_ended(bob: Visitor, node: NodeUnderTest) -> None:
    node.as_("ana")
    ana = Visitor(node.client, "ana")
    page = bob.shows("/users/ana")
    assert len(re.findall("ses-[0-9a-f]+", page)) == 2
    bob.sends("/users/ana/sessions/end")
    assert ana.get("/").url.path == "/sign-in"
    assert "Nowhere." in bob.shows("/users/ana")


def test_a_missing_account_is_missing(bob: Visitor) -> None:
    assert bob.get("/users/nobody").status_code == 404
    assert bob.get("/users/%3Cscript%3E").status_code == 422


def test_forged_forms_do_nothing(bob: Visitor, node: NodeUnderTest) -> None:
    node.as_("ana")
    for path in ("", "/ana", "/ana/invitation", "/ana/sessions/end", "/ana/second-factor/removal"):
        form = {"username": "eve", "role": "owner", "invited": "true", "disabled": "true"}
        assert bob.send(f"/users{path}", token="x", **form).status_code == 403
    assert "2 accounts" in text_of(bob.shows("/users"))
    assert "locked" not in text_of(bob.shows("/users/ana"))


def test_many_accounts_are_paged(bob: Visitor, node: NodeUnderTest) -> None:
    for at in range(26):
        body = {"username": f"dana{at:02}@grid", "role": "guest"}
        assert node.client.post("/v1/users", json=body, headers=node.as_("bob")).status_code == 201
    first, second = bob.shows("/users"), bob.shows("/users?page=2")
    assert ("dana23@grid" in first, "dana25@grid" in first) == (True, False)
    assert ("dana23@grid" in second, "dana25@grid" in second) == (False, True)


def test_one_account_is_rest_too(node: NodeUnderTest) -> None:
    answer = node.client.get("/v1/users/bob", headers=node.as_("bob"))
    assert answer.json()["role"] == "owner"
    assert node.client.get("/v1/users/nobody", headers=node.as_("bob")).status_code == 404
    assert node.client.get("/v1/users/bob", headers=node.as_("ana")).status_code == 403


def test_an_account_is_linked_to_a_person_at_the_provider_and_back(settings: NodeSettings) -> None:
    secret = settings.data_dir.parent / "oidc-secret"
    secret.write_text("hush\n")
    wanted = NodeSettings(
        **settings.model_dump(exclude_unset=True),
        oidc_issuer="http://127.0.0.1:9",
        oidc_client_id="gridward",
        oidc_client_secret_file=secret,
        oidc_label="the clinic",
        public_url="http://testserver",
    )
    with running_node(wanted) as node:
        node.as_("ana")
        bob = Visitor(node.client, "bob")
        assert bob.send("/users/ana/sign-in", subject="two words").status_code == 422
        assert "through the clinic" in text_of(bob.sends("/users/ana/sign-in", subject="sub-1").text)
        undone = bob.sends("/users/ana/sign-in").text
        assert "Undo the link" not in undone
        assert 'name="subject"' in undone
