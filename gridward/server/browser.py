"""Sessions of browsers: a cookie that is worth as much as the session's row is alive.

The cookie is `<session id>.<secret>` and names no user. It opens the pages and nothing else: REST takes
tokens only, so that no page of another site can make a browser use it (OWASP, cross-site request forgery).
"""

import base64
import hashlib
import hmac
from datetime import timedelta
from typing import Final

from starlette.requests import HTTPConnection
from starlette.responses import Response

from gridward.core.errors import NotSignedInError
from gridward.server.accounts import Accounts, UserFields
from gridward.server.keys import Keys
from gridward.server.principals import Principal
from gridward.server.sessions import alive, hash_secret, principal_of, start

FORM_TOKEN: Final = "form_token"  # noqa: S105 (the name of a form's field)
_TOUCHES: Final = 20
"""A session in use is written again after so small a part of its lifetime, not at every request."""


def open_session(accounts: Accounts, user: UserFields, *, vouched: bool = False) -> str:
    """Open a session for a user who was proven to be there, and return the cookie."""
    lifetime_s = accounts.settings.page_session_s
    session, secret = start(accounts, user, lifetime_s, browser=True, vouched=vouched)
    return f"{session.id}.{secret}"


def authenticate(accounts: Accounts, cookie: str) -> Principal:
    """Return whose cookie this is, or raise `NotSignedInError`; a session in use lasts on."""
    session_id, _, secret = cookie.partition(".")
    with accounts.database.read() as db:
        found = alive(db, accounts, session_id, browser=True)
        if found is None or not hmac.compare_digest(found[0].refresh_hash, hash_secret(secret)):
            raise NotSignedInError("you are signed out; sign in again")
        session, user = found
        principal = principal_of(db, accounts, user, session)
    lifetime = timedelta(seconds=accounts.settings.page_session_s)
    if accounts.clock() - session.last_seen_at > lifetime / _TOUCHES:
        _touch(accounts, session_id, lifetime)
    return principal


def cookie_of(request: HTTPConnection, accounts: Accounts) -> str | None:
    """Return the cookie that came along, or None."""
    return request.cookies.get(_name(request, accounts))


def set_cookie(request: HTTPConnection, response: Response, accounts: Accounts, cookie: str) -> None:
    """Let the browser keep the cookie until it is closed; only this server gets it, and no script."""
    name, secure = _name(request, accounts), is_secure(request, accounts)
    response.set_cookie(name, cookie, path="/", httponly=True, samesite="lax", secure=secure)


def delete_cookie(request: HTTPConnection, response: Response, accounts: Accounts) -> None:
    """Let the browser forget the cookie."""
    name, secure = _name(request, accounts), is_secure(request, accounts)
    response.delete_cookie(name, path="/", httponly=True, samesite="lax", secure=secure)


def form_token(keys: Keys, session_id: str) -> str:
    """Return what a form of this session must carry, so that no other site can send it."""
    code = hmac.digest(keys.token_secret, f"gridward form {session_id}".encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(code).decode().rstrip("=")


def is_secure(request: HTTPConnection, accounts: Accounts) -> bool:
    """Say whether the browser came over https, if only as far as to a proxy that did not say so."""
    return request.url.scheme == "https" or accounts.settings.url().startswith("https://")


def _name(request: HTTPConnection, accounts: Accounts) -> str:
    """Two servers on one host share their cookies: each has a name of its own.

    `__Host-` keeps neighbouring hosts from setting it; browsers take it over https only.
    """
    prefix = "__Host-" if is_secure(request, accounts) else ""
    return f"{prefix}gridward-{hashlib.sha256(accounts.keys.id.encode()).hexdigest()[:12]}"


def _touch(accounts: Accounts, session_id: str, lifetime: timedelta) -> None:
    now = accounts.clock()
    with accounts.database.write() as db:
        found = alive(db, accounts, session_id, browser=True)
        if found is not None:
            session, _ = found
            session.last_seen_at, session.expires_at = now, now + lifetime
            db.add(session)
