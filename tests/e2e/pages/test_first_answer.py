"""A new owner publishes a CSV, sets a rule and answers the first request: in ten clicks, and how fast."""

import sys
import time
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

import gridward as gw
from tests.e2e.pages.conftest import Fresh
from tests.support.browsers import opened
from tests.support.grids import PASSWORD

pytestmark = pytest.mark.e2e
_COUNT = "addEventListener('pointerdown', event => event.isTrusted && countPress(), true)"


class Presses:
    """How often the mouse was pressed on a page, by the browser's own events."""

    def __init__(self, page: Page) -> None:
        self.count = 0
        page.expose_function("countPress", self._note)
        page.add_init_script(_COUNT)

    def _note(self) -> None:
        self.count += 1


@pytest.fixture
def births(tmp_path: Path) -> Path:
    path = tmp_path / "births.csv"
    rows = [f"m{at},{2.5 + at % 20 / 10},{47 + at % 9},{at % 2},calm" for at in range(60)]
    path.write_text("\n".join(["mother,weight,height,twins,note", *rows]))
    return path


def test_a_new_owner_answers_the_first_request_within_ten_clicks(
    browser: Browser, fresh: Fresh, births: Path
) -> None:
    with opened(browser, fresh.server.url) as window:
        page = window.page
        presses = Presses(page)
        began = time.monotonic()
        window.claim(fresh.token, "bob", PASSWORD)
        with gw.connect(fresh.server.url, username="bob", password=PASSWORD) as bob:
            bob.users.add("ana", PASSWORD)

        page.get_by_role("link", name="Publish a dataset").click()
        with page.expect_file_chooser() as chooser:
            page.get_by_label("File").click()
        chooser.value.set_files(births)
        page.get_by_role("button", name="Upload").click()
        expect(page.get_by_label("Name", exact=True)).to_have_value("births")
        window.shoot("publish")
        page.get_by_label("Column that names the person").focus()
        page.keyboard.type("mother")
        page.get_by_role("checkbox", name="Compute: everyone").click()
        page.get_by_role("button", name="Publish").click()
        expect(page.get_by_role("heading", name="births")).to_be_visible()

        with gw.connect(fresh.server.url, username="ana", password=PASSWORD) as ana:
            largest = ana.dataset("births")["weight"].max()
            request = largest.request("heaviest newborn, for the ward report", wait=False)
            page.get_by_role("link", name="Requests").click()
            page.get_by_role("link", name="heaviest newborn").click()
            page.get_by_role("button", name="Approve").click()
            expect(page.get_by_role("status")).to_have_text("Saved.")
            took = time.monotonic() - began
            assert request.get().item() == pytest.approx(4.4)
        sys.stdout.write(f"\nfirst answer: {presses.count} clicks, {took:.1f} s\n")
        assert 8 <= presses.count <= 10
        assert window.strangers() == []
        assert window.complaints == []
