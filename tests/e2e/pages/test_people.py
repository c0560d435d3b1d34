"""Pages about people and decisions, over a real node, in a real browser."""

import re
from base64 import b32decode
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from playwright.sync_api import Browser, expect

from tests.e2e.pages.conftest import Ward
from tests.support.browsers import Watched, opened
from tests.support.grids import PASSWORD

pytestmark = pytest.mark.e2e
SIZES = ("desk", "phone")
SCHEMES = ("light", "dark")


def seen(window: Watched, path: str, name: str = "") -> None:
    """Open a page and look at it as the accessibility rules do; it loads little, and all of it from here."""
    window.go(path)
    looked_at(window, name)
    assert 10_000 < window.loaded_bytes() < 100_000, path


def looked_at(window: Watched, name: str = "") -> None:
    assert window.faults() == []
    assert not window.is_wider_than_its_window()
    assert window.strangers() == []
    if name:
        window.shoot(name)


def ending(size: str, scheme: str) -> str:
    return "".join(f"-{word}" for word in (size, scheme) if word not in ("desk", "light"))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("size", SIZES)
def test_every_page_is_for_everyone(browser: Browser, ward: Ward, size: str, scheme: str) -> None:
    pages = {
        "/": "home",
        "/requests": "requests",
        "/requests?status=all": "",
        f"/requests/{ward.asked[0]}": "request",
        f"/requests/{ward.asked[2]}": "",
        f"/requests/{ward.asked[0]}/plan": "",
        f"/requests/{ward.asked[0]}/history": "",
        "/account": "account",
        "/account/second-factor": "",
        "/users": "users",
        "/users/ana": "user",
        "/users/erik@grid": "",
        "/roles": "roles",
        "/roles/auditor": "",
        "/groups": "",
        "/groups/midwives": "group",
        "/audit": "audit",
        "/audit/verdict": "audit-verdict",
    }
    with opened(browser, ward.url, size, "dark" if scheme == "dark" else "light") as window:
        window.sign_in("bob", PASSWORD)
        for path, name in pages.items():
            seen(window, path, name and name + ending(size, scheme))
        assert window.complaints == []


def test_the_owner_approves_in_three_clicks(browser: Browser, ward: Ward) -> None:
    request = ward.ask(3.0, "Three clicks")
    with opened(browser, ward.url) as window:
        window.sign_in("bob", PASSWORD)
        page = window.page
        page.get_by_role("link", name="Requests", exact=True).click()
        page.get_by_role("link", name="Three clicks").click()
        expect(page.get_by_role("heading", name="The plan")).to_be_visible()
        page.get_by_role("button", name="Approve").click()
        expect(page.get_by_role("status")).to_have_text("Saved.")
        expect(page.get_by_text("once", exact=True)).to_be_visible()
        assert window.complaints == []
    with ward.user("ana") as ana:
        assert float(ana.requests[request].get()) == pytest.approx(3 * 3.86)  # type: ignore[arg-type]


def test_a_keyboard_alone_decides(browser: Browser, ward: Ward) -> None:
    request = ward.ask(4.0, "By keyboard")
    with opened(browser, ward.url) as window:
        window.sign_in("bob", PASSWORD)
        page, keyboard = window.page, window.page.keyboard

        def tab_to(words: str) -> None:
            for _ in range(60):
                keyboard.press("Tab")
                if words in page.evaluate(
                    "(document.activeElement.textContent + ' ' + (document.activeElement.value || ''))"
                ):
                    return
            raise AssertionError(f"no Tab leads to {words}")

        tab_to("Requests")
        keyboard.press("Enter")
        page.wait_for_url("**/requests")
        tab_to("By keyboard")
        keyboard.press("Enter")
        page.wait_for_url(f"**/requests/{request}")
        tab_to("Decide")  # the way past what was read before
        keyboard.press("Enter")
        tab_to("once")
        keyboard.press("ArrowDown")
        keyboard.press("Tab")
        keyboard.type("3")
        tab_to("Approve")
        keyboard.press("Enter")
        expect(page.get_by_role("status")).to_have_text("Saved.")
        expect(page.get_by_role("definition").filter(has_text="3 times")).to_be_visible()


def test_preview_comment_denial_and_a_refusal_in_place(browser: Browser, ward: Ward) -> None:
    request = ward.ask(5.0, "To be denied")
    with opened(browser, ward.url) as window:
        window.sign_in("bob", PASSWORD)
        page = window.page
        window.go(f"/requests/{request}")
        page.get_by_role("button", name="Preview the answer").click()
        expect(page.get_by_role("heading", name="What the asker would get")).to_be_focused()
        expect(page.locator("#preview pre")).to_contain_text("19.3")
        looked_at(window, "request-preview")
        page.get_by_label("within these bounds").check()
        page.get_by_role("button", name="Approve").click()
        expect(page.get_by_role("alert")).to_contain_text("Say how many times")
        expect(page.get_by_label("within these bounds")).to_be_checked()
        page.get_by_label("Comment").fill("For whom is it?")
        page.get_by_role("button", name="Send").click()
        expect(page.get_by_role("status")).to_have_text("Sent.")
        page.get_by_text("Deny", exact=True).first.click()
        page.get_by_label("Reason").fill("<b>five</b> rows are five people")
        page.get_by_role("button", name="Deny").click()
        expect(page.get_by_text("<b>five</b> rows are five people").first).to_be_visible()
    with opened(browser, ward.url, "phone") as window:
        window.sign_in("ana", PASSWORD)
        expect(window.page.get_by_text("bob denied")).to_be_visible()
        window.page.get_by_role("button", name="Mark as seen").click()
        expect(window.page.get_by_text("Nothing new.")).to_be_visible()
        seen(window, f"/requests/{request}", "request-asker-phone")
        expect(window.page.get_by_role("button", name="Deny")).to_have_count(0)


def test_an_invitation_by_link_leads_to_a_second_factor(browser: Browser, ward: Ward) -> None:
    with opened(browser, ward.url) as window:
        window.sign_in("bob", PASSWORD)
        window.go("/users")
        window.page.get_by_label("User name").first.fill("fay")
        window.page.get_by_label("Role").first.select_option("data_officer")
        window.page.get_by_role("button", name="Invite").click()
        expect(window.page.get_by_role("heading", name="Invitation for fay")).to_be_focused()
        looked_at(window)
        link = window.page.get_by_label("The link").inner_text().strip()
    with opened(browser, ward.url) as window:
        page = window.page
        page.goto(link)
        page.get_by_label("New password").fill(PASSWORD)
        page.get_by_role("button", name="Set the password").click()
        page.wait_for_url("**/sign-in*")
        window.sign_in("fay", PASSWORD)
        window.go("/account/second-factor")
        page.get_by_label("Your password").fill(PASSWORD)
        page.get_by_role("button", name="Go on").click()
        expect(page.get_by_label("The code that the app shows now")).to_be_focused()
        page.get_by_text("I cannot scan it").click()
        looked_at(window, "second-factor")
        code = current_code(page.locator("details code").inner_text())
        page.get_by_label("The code that the app shows now").fill(code)
        page.get_by_role("button", name="Switch it on").click()
        expect(page.get_by_role("heading", name="The second factor is on")).to_be_visible()
        looked_at(window)
        recovery = page.locator("ol.codes code").first.inner_text()
        page.get_by_role("button", name="Sign out").click()
        page.get_by_label("User name").fill("fay")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_label("Code").fill(recovery)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{window.root}/")


def current_code(shown: str) -> str:
    secret = shown.replace(" ", "")
    totp = TOTP(b32decode(secret + "=" * (-len(secret) % 8)), 6, SHA1(), 30)
    return totp.generate(int(datetime.now(UTC).timestamp())).decode()


def test_a_token_for_a_program_is_shown_once(browser: Browser, ward: Ward) -> None:
    with opened(browser, ward.url) as window:
        window.sign_in("dana", PASSWORD)
        page = window.page
        window.go("/account")
        page.get_by_text("Make a token").first.click()
        page.get_by_label("What it is for").fill("nightly job")
        page.get_by_label("compute").check()
        page.get_by_label("Your password").fill(PASSWORD)
        page.get_by_role("button", name="Make the token").click()
        expect(page.get_by_label("The token")).to_contain_text(re.compile("^svc-"))
        looked_at(window)
        page.get_by_role("link", name="I have it").click()
        page.get_by_role("button", name="End: nightly job").click()
        expect(page.get_by_role("status")).to_have_text("Ended.")


def test_the_log_is_searched_and_downloaded(browser: Browser, ward: Ward) -> None:
    with opened(browser, ward.url) as window:
        window.sign_in("carl", PASSWORD)
        page = window.page
        page.get_by_role("link", name="Audit").click()
        page.get_by_label("Action").fill("create_user")
        page.get_by_label("Object").fill("ana")
        page.get_by_role("button", name="Search").click()
        expect(page.locator("tbody tr")).to_have_count(1)
        with page.expect_download() as download:
            page.get_by_role("button", name="Download it").click()
        assert download.value.path().read_text().count("\n") > 10
        expect(page.get_by_role("link", name="Users")).to_have_count(0)
