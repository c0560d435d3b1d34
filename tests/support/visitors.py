"""Somebody who looks at the pages of a server under test: a browser's cookie, forms and what they answer."""

import re
from html import unescape
from typing import Final

from fastapi.testclient import TestClient
from httpx2 import Client, Response

from tests.support.nodes import PASSWORD

BROWSER: Final = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin"}


class Visitor:
    """A signed-in browser of its own over the app of a client under test."""

    def __init__(self, client: Client, username: str, password: str = PASSWORD, **more: str) -> None:
        assert isinstance(client, TestClient)
        self.client = TestClient(client.app)
        form = {"username": username, "password": password} | more
        answer = self.client.post("/sign-in", data=form, headers=BROWSER, follow_redirects=False)
        assert answer.status_code == 303, answer.text

    def get(self, path: str) -> Response:
        """Open a page, and go where it leads."""
        return self.client.get(path, headers=BROWSER)

    def shows(self, path: str) -> str:
        """Open a page that must be there, and return its text as HTML."""
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        return answer.text

    def token(self) -> str:
        """The form token of this session, as any page's sign-out has it."""
        found = re.search(r'name="form_token" value="([^"]+)"', self.get("/account/second-factor").text)
        assert found
        return found[1]

    def send(self, path: str, token: str | None = None, **fields: str | list[str]) -> Response:
        """Send a form as a browser without JavaScript does; what follows is the page that it leads to."""
        form = {"form_token": self.token() if token is None else token} | fields
        return self.client.post(path, data=form, headers=BROWSER)

    def sends(self, path: str, **fields: str | list[str]) -> Response:
        """Send a form that must be taken."""
        answer = self.send(path, **fields)
        assert answer.status_code == 200, answer.text
        return answer


def text_of(page: str) -> str:
    """What a page says, without its marks."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", page)))


def forms_on(page: str) -> set[str]:
    """Where the forms of a page go."""
    return set(re.findall(r'<form[^>]* action="([^"]+)"', page)) - {"/sign-out"}
