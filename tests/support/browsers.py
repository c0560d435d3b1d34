"""A real browser, at the width of a desk or a phone, light or dark; and what the accessibility rules say."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Response, sync_playwright

IMAGES: Final = os.environ.get("GRIDWARD_TEST_IMAGES")
"""Where pictures are kept; `scripts/images` names the folder of the documents."""
SIZES: Final = {"desk": (1280, 800), "phone": (390, 844)}
_EXECUTABLE: Final = "/usr/bin/chromium"
_FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_SERIOUS: Final = ("serious", "critical")


@dataclass
class Watched:
    """A page with everything that went over its line, and everything that it complained about."""

    page: Page
    root: str
    responses: list[Response] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("response", lambda response: self.responses.append(response))
        self.page.on("console", lambda line: line.type == "error" and self.complaints.append(line.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def go(self, path: str) -> None:
        """Open a page of the server."""
        self.page.goto(f"{self.root}{path}")

    def claim(self, token: str, username: str, password: str) -> None:
        """Become the owner."""
        self.go("/")
        self.page.get_by_label("One-time token").fill(token)
        self.page.get_by_label("User name").fill(username)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Become the owner").click()
        self.page.wait_for_url(f"{self.root}/")

    def sign_in(self, username: str, password: str) -> None:
        """Sign in."""
        self.go("/sign-in")
        self.page.get_by_label("User name").fill(username)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url(f"{self.root}/")

    def faults(self) -> list[str]:
        """Name what the accessibility rules find serious on the page as it is now."""
        found = Axe().run(self.page).response["violations"]
        return [
            f"{one['id']}: {one['nodes'][0]['html'][:200]} {one['nodes'][0].get('failureSummary', '')[:300]}"
            for one in found
            if one["impact"] in _SERIOUS
        ]

    def is_wider_than_its_window(self) -> bool:
        """Say whether one has to scroll sideways."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth"))

    def loaded_bytes(self) -> int:
        """Return how much the page as it is now took over the line, as if nothing had been kept before."""
        entries = (
            "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]"
        )
        return int(self.page.evaluate(f"{entries}.reduce((sum, one) => sum + one.encodedBodySize, 0)"))

    def shoot(self, name: str) -> None:
        """Take a picture of the whole page for the documents."""
        path = Path(IMAGES, f"{name}.png") if IMAGES else None
        assert self.page.screenshot(path=path, full_page=True).startswith(b"\x89PNG")

    def strangers(self) -> list[str]:
        """Name what was fetched from elsewhere."""
        return [one.url for one in self.responses if not one.url.startswith(self.root)]


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Start the browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_EXECUTABLE, args=list(_FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(
    browser: Browser, root: str, size: str = "desk", scheme: Literal["light", "dark"] = "light"
) -> Iterator[Watched]:
    """Open a window that nobody has used."""
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, locale="en-GB"
    )
    context.set_default_timeout(15_000)
    try:
        yield Watched(context.new_page(), root)
    finally:
        context.close()
