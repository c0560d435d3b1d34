"""Pages of one's own account: password, second factor, sessions, tokens for programs."""

import re
from base64 import b32decode
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from markupsafe import escape
from sqlmodel import select

from gridward.api.tables.accounts import User
from gridward.server.pages.second_factor import drawn, secret_of
from gridward.server.settings import NodeSettings
from tests.support.nodes import PASSWORD, NodeUnderTest, running_node
from tests.support.visitors import BROWSER, Visitor, forms_on, text_of

NEW = "a new and better password"
CANARY = "<script>alert(1)</script>{{7*7}}"


@pytest.fixture
def bob(node: NodeUnderTest) -> Visitor:
    return Visitor(node.client, "bob")


def code_of(page: str) -> str:
    """What the app shows for the secret of a page."""
    found = re.search(r"six digits\): <code>([A-Z2-7 ]+)</code>", page)
    assert found
    secret = found[1].replace(" ", "")
    totp = TOTP(b32decode(secret + "=" * (-len(secret) % 8)), 6, SHA1(), 30)
    return totp.generate(int(datetime.now(UTC).timestamp())).decode()


def with_second_factor(visitor: Visitor) -> list[str]:
    begun = visitor.sends("/account/second-factor", password=PASSWORD)
    done = visitor.sends("/account/second-factor/confirm", code=code_of(begun.text))
    return re.findall(r"<li><code>([a-z2-7-]+)</code></li>", done.text)


def test_the_account_says_who_one_is(bob: Visitor, node: NodeUnderTest) -> None:
    node.as_("gus", "guest")
    assert "owner" in text_of(bob.shows("/account"))
    gus = Visitor(node.client, "gus").shows("/account")
    assert "look around" in text_of(gus)
    assert "/account/tokens" not in forms_on(gus)


def test_a_new_password_takes_the_old_one(bob: Visitor, node: NodeUnderTest) -> None:
    elsewhere = Visitor(node.client, "bob")
    wrong = bob.send("/account/password", old_password="wrong", new_password=NEW)
    assert wrong.status_code == 401
    short = bob.send("/account/password", old_password=PASSWORD, new_password="short")
    assert (short.status_code, "short" in short.text.replace("too_short", "")) == (422, False)
    assert "Saved." in bob.sends("/account/password", old_password=PASSWORD, new_password=NEW).text
    assert node.sign_in("bob", NEW).status_code == 201
    assert bob.get("/account").url.path == "/account"
    assert elsewhere.get("/account").url.path == "/sign-in"


def test_a_session_is_ended_by_its_owner_alone(bob: Visitor, node: NodeUnderTest) -> None:
    node.as_("ana")
    ana, elsewhere = Visitor(node.client, "ana"), Visitor(node.client, "bob")
    ids = set(re.findall(r"/account/sessions/(ses-[0-9a-f]+)/end", bob.shows("/account")))
    assert len(ids) == 2  # the other browser, and the headers of `as_`
    for id_ in ids:
        assert ana.send(f"/account/sessions/{id_}/end").status_code == 404
        bob.sends(f"/account/sessions/{id_}/end")
    assert elsewhere.get("/account").url.path == "/sign-in"
    assert bob.get("/account").url.path == "/account"


def test_a_token_is_shown_once_and_works(bob: Visitor, node: NodeUnderTest) -> None:
    form = {"name": CANARY, "scopes": ["compute", "publish"], "lifetime_s": "86400", "password": PASSWORD}
    made = bob.sends("/account/tokens", **form)
    token = re.search(r"<code>(svc-[^<]+)</code>", made.text)
    assert token
    assert "<script>alert" not in made.text
    headers = {"Authorization": f"Bearer {token[1]}"}
    assert node.client.get("/v1/datasets", headers=headers).status_code == 200
    assert node.client.get("/v1/users", headers=headers).status_code == 403
    page = bob.shows("/account")
    assert str(escape(CANARY)) in page
    assert "<script>alert" not in page
    assert token[1] not in page
    ends = [path for path in forms_on(page) if path.startswith("/account/tokens/")]
    bob.sends(ends[0])
    assert node.client.get("/v1/datasets", headers=headers).status_code == 401


@pytest.mark.parametrize(
    "form",
    [
        {"scopes": [], "lifetime_s": "86400", "password": PASSWORD},
        {"scopes": ["fly"], "lifetime_s": "86400", "password": PASSWORD},
        {"scopes": ["compute"], "lifetime_s": "forever", "password": PASSWORD},
        {"scopes": ["compute"], "lifetime_s": "86400", "password": "wrong wrong wrong"},
    ],
)
def test_a_token_that_may_not_be_is_not_made(bob: Visitor, form: dict[str, str | list[str]]) -> None:
    assert bob.send("/account/tokens", name="nightly", **form).status_code in (401, 422)
    assert "nightly" not in bob.shows("/account")


def test_the_second_factor_is_set_up_used_and_taken_away(bob: Visitor, node: NodeUnderTest) -> None:
    codes = with_second_factor(bob)
    assert len(set(codes)) == 10
    refused = bob.client.post(
        "/sign-in", data={"username": "bob", "password": PASSWORD}, headers=BROWSER, follow_redirects=False
    )
    assert refused.status_code == 401
    again = Visitor(node.client, "bob", code=codes[0])
    page = again.shows("/account/second-factor")
    assert forms_on(page) == {"/account/second-factor/removal"}
    assert again.send("/account/second-factor", password=PASSWORD).status_code == 409
    assert again.send("/account/second-factor/removal", password=PASSWORD, code=codes[0]).status_code == 401
    again.sends("/account/second-factor/removal", password=PASSWORD, code=codes[1])
    Visitor(node.client, "bob")


def test_secret_and_recovery_codes_are_shown_once(bob: Visitor) -> None:
    begun = bob.sends("/account/second-factor", password=PASSWORD)
    secret = re.search(r"<code>([A-Z2-7 ]{39})</code>", begun.text)
    assert secret
    assert begun.headers["cache-control"] == "no-store"
    assert secret[1] not in bob.shows("/account/second-factor")
    done = bob.sends("/account/second-factor/confirm", code=code_of(begun.text))
    (first, *_) = re.findall(r"<li><code>([a-z2-7-]+)</code></li>", done.text)
    assert bob.get("/account/second-factor/confirm").status_code == 405
    for path in ("/account", "/account/second-factor", "/audit"):
        assert first not in bob.shows(path)


def test_a_wrong_code_switches_nothing_on_and_leaves_the_page(bob: Visitor) -> None:
    bob.sends("/account/second-factor", password=PASSWORD)
    form = {"form_token": bob.token(), "code": "000000"}
    answer = bob.client.post(
        "/account/second-factor/confirm", data=form, headers=BROWSER | {"HX-Request": "true"}
    )
    assert (answer.status_code, answer.headers["hx-retarget"]) == (401, "#refusal")
    assert "off" in text_of(bob.shows("/account"))


def test_the_code_is_drawn_without_style_or_script() -> None:
    address = "otpauth://totp/Gridward%20x:bob?secret=ABCDEFGHABCDEFGHABCDEFGHABCDEFGH&issuer=Gridward%20x"
    svg = drawn(address)
    assert svg.startswith("<svg")
    for word in ("style", "script", "href", "on"):
        assert f"{word}=" not in svg
    assert secret_of(address) == "ABCD EFGH ABCD EFGH ABCD EFGH ABCD EFGH"


def test_forged_forms_do_nothing(bob: Visitor, node: NodeUnderTest) -> None:
    for path in ("password", "tokens", "second-factor", "second-factor/removal", "sessions/current/end"):
        form = {"old_password": PASSWORD, "new_password": NEW, "password": PASSWORD, "code": "1"}
        assert bob.send(f"/account/{path}", token="x", **form).status_code == 403
    assert node.sign_in("bob").status_code == 201
    assert bob.get("/account").url.path == "/account"


@pytest.fixture
def strict(settings: NodeSettings) -> Iterator[NodeUnderTest]:
    """A node whose owners need a second factor."""
    wanted = settings.model_copy(update={"second_factor_roles": frozenset({"owner"})})
    with running_node(wanted) as found:
        yield found


def test_who_needs_a_second_factor_is_led_to_it_and_gets_nowhere_else(strict: NodeUnderTest) -> None:
    bob = Visitor(strict.client, "bob")
    for path in ("/", "/requests", "/users", "/audit", "/users/bob"):
        assert bob.get(path).url.path == "/account/second-factor"
    assert bob.send("/users", username="eve", role="owner", password=NEW).url.path == "/account/second-factor"
    assert "may do nothing here without" in bob.shows("/account/second-factor")
    assert bob.get("/account").url.path == "/account"
    with_second_factor(bob)
    assert bob.get("/users").url.path == "/users"
    assert "eve" not in text_of(bob.shows("/users"))


def test_who_needs_a_second_factor_can_sign_out_without_it(strict: NodeUnderTest) -> None:
    bob = Visitor(strict.client, "bob")
    assert bob.send("/sign-out").url.path == "/sign-in"
    assert bob.get("/account").url.path == "/sign-in"


def test_who_has_no_password_is_asked_for_none(bob: Visitor, node: NodeUnderTest) -> None:
    with node.node.database.write() as db:
        user = db.exec(select(User).where(User.username == "bob")).one()
        user.password_hash, user.oidc_key = None, "https://id.example sub-1"
        db.add(user)
    for path in ("/account", "/account/second-factor"):
        page = bob.shows(path)
        assert 'type="password"' not in page
        assert "no password" in text_of(page)
    made = bob.sends("/account/tokens", name="nightly", scopes="publish", lifetime_s="3600")
    assert "svc-" in made.text
    begun = bob.sends("/account/second-factor")
    (code, *_) = recovery = re.findall(
        r"<li><code>([a-z2-7-]+)</code></li>",
        bob.sends("/account/second-factor/confirm", code=code_of(begun.text)).text,
    )
    assert len(recovery) > 1
    assert 'type="password"' not in bob.shows("/account/second-factor")
    bob.sends("/account/second-factor/removal", code=code)
    assert "off" in text_of(bob.shows("/account"))


def test_who_has_a_password_does_nothing_without_it(bob: Visitor) -> None:
    assert bob.send("/account/second-factor").status_code == 401
    assert bob.send("/account/tokens", name="a", scopes="publish", lifetime_s="3600").status_code == 401
