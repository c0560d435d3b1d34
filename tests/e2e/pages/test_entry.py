"""The owner's first visit and signing in, in a real browser."""

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.pages.conftest import Fresh
from tests.support.browsers import opened
from tests.support.grids import PASSWORD

pytestmark = pytest.mark.e2e


def test_the_owner_claims_the_node_and_signs_in_again(browser: Browser, fresh: Fresh) -> None:
    with opened(browser, fresh.server.url) as window:
        window.go("/")
        assert window.page.url.endswith("/claim")
        assert window.faults() == []
        window.shoot("claim")
        window.page.get_by_label("One-time token").fill("wrong")
        window.page.get_by_label("User name").fill("bob")
        window.page.get_by_label("Password").fill(PASSWORD)
        window.page.get_by_role("button", name="Become the owner").click()
        expect(window.page.get_by_role("alert")).to_contain_text("one-time token is wrong")
        expect(window.page.get_by_label("User name")).to_have_value("bob")
        window.claim(fresh.token, "bob", PASSWORD)
        window.page.get_by_role("button", name="Sign out").click()
        expect(window.page.get_by_role("heading", name="Sign in")).to_be_visible()
        window.sign_in("bob", PASSWORD)
        assert window.strangers() == []
        # The browser itself reports the refused form; nothing else may be complained about.
        assert [line for line in window.complaints if "403" not in line] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["desk", "phone"])
def test_the_sign_in_is_for_everyone(browser: Browser, fresh: Fresh, size: str, scheme: str) -> None:
    with opened(browser, fresh.server.url, size, "dark" if scheme == "dark" else "light") as window:
        window.go("/sign-in")
        assert window.faults() == []
        assert not window.is_wider_than_its_window()
        sent = sum(len(response.body()) for response in window.responses if response.status == 200)
        assert sent < 100_000


def test_a_keyboard_alone_will_do(browser: Browser, fresh: Fresh) -> None:
    with opened(browser, fresh.server.url) as window:
        window.go("/sign-in")
        keyboard = window.page.keyboard
        keyboard.type("bob")
        keyboard.press("Tab")
        keyboard.type(PASSWORD)
        keyboard.press("Enter")
        window.page.wait_for_url(f"{window.root}/")
