"""Signing in through a provider: a browser does it and comes back on the loopback (RFC 8252).

Nothing that passes through the browser opens an account: the ticket counts with a secret that stays here.
"""

import hashlib
import hmac
import secrets
import time
import webbrowser
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Final
from urllib.parse import parse_qs, urlencode, urlsplit

from gridward.client.transport import Transport
from gridward.core.errors import InvalidInputError, NotSignedInError, SecondFactorRequiredError
from gridward.core.schemas.accounts import SessionOut, SignInWays

WAIT_S: Final = 300.0
_PAGE: Final = (
    b"<!doctype html><html lang=en><meta charset=utf-8><title>Gridward</title>"
    b"<p>You may close this page and go back to your program."
)
Show = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Ticket:
    """What the browser brought, and the secret that makes it count."""

    ticket: str
    verifier: str


def open_session(
    server: Transport,
    show: Show,
    *,
    ask_code: Callable[[], str] | None = None,
    code: str | None = None,
    invitation: str | None = None,
    wait_s: float = WAIT_S,
) -> SessionOut:
    """Sign in at a node or gateway. ``show`` gets the address that a browser has to open.

    Raises ``SecondFactorRequiredError`` where the account's code is needed and nobody is asked for it,
    ``NotSignedInError`` if nobody comes back in time or no account there is theirs.
    """
    brought = fetch_ticket(server, show, wait_s)
    body = {"ticket": brought.ticket, "verifier": brought.verifier}
    body |= {} if invitation is None else {"invitation": invitation}
    try:
        return _exchange(server, body | ({} if code is None else {"code": code}))
    except SecondFactorRequiredError:
        if ask_code is None:
            raise
        return _exchange(server, body | {"code": ask_code()})


def fetch_ticket(server: Transport, show: Show, wait_s: float = WAIT_S) -> Ticket:
    """Wait until a browser that opened the address comes back to this program."""
    if server.fetch(SignInWays, "GET", "/v1/sign-in").oidc is None:
        raise InvalidInputError(f"{server.label} has no sign-in provider; use a user name and password")
    verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe(32)
    with _Waiting(state) as waiting:
        challenge = urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {"port": waiting.server_port, "challenge": challenge, "state": state}
        show(f"{server.url}/sign-in/oidc?{urlencode(asked)}")
        return Ticket(waiting.ticket(wait_s), verifier)


def open_browser(address: str) -> None:
    """Print the address, and open it where there is a browser."""
    print(f"Sign in with your browser: {address}", flush=True)  # noqa: T201 (a person has to see it)
    webbrowser.open(address)


def _exchange(server: Transport, body: dict[str, str]) -> SessionOut:
    return server.fetch(SessionOut, "POST", "/v1/sign-in/oidc", body=body)


class _Waiting(HTTPServer):
    """Takes one request that carries the state of this sign-in; anything else gets a 404 and is forgotten."""

    def __init__(self, state: str) -> None:
        super().__init__(("127.0.0.1", 0), _Arrivals)
        self._state = state
        self._ticket: str | None = None

    def ticket(self, wait_s: float) -> str:
        """Give the ticket, or raise ``NotSignedInError`` after the time is over."""
        deadline = time.monotonic() + wait_s
        while self._ticket is None:
            self.timeout = deadline - time.monotonic()
            if self.timeout <= 0:
                raise NotSignedInError(f"nobody signed in within {wait_s:.0f} s; begin again")
            self.handle_request()
        return self._ticket

    def take(self, path: str) -> bool:
        """Say whether this is the request that is waited for; its ticket is kept."""
        parts = urlsplit(path)
        sent = parse_qs(parts.query)
        state, ticket = sent.get("state", [""])[0], sent.get("ticket", [""])[0]
        if parts.path != "/" or not ticket or not hmac.compare_digest(state.encode(), self._state.encode()):
            return False
        self._ticket = ticket
        return True


class _Arrivals(BaseHTTPRequestHandler):
    timeout = 5

    def do_GET(self) -> None:
        waiting = self.server
        assert isinstance(waiting, _Waiting)  # noqa: S101 (it is made for no other)
        taken = waiting.take(self.path)
        self.send_response(200 if taken else 404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Security-Policy", "default-src 'none'")
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        self.wfile.write(_PAGE if taken else b"")

    def log_message(self, format: str, *args: object) -> None:
        """Write nothing: the address holds the ticket."""
