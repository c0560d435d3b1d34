"""Who looks at a page, and whether a form was sent from one of ours."""

import hmac
from typing import Annotated, Final, TypeAlias
from urllib.parse import quote, urlsplit

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from gridward.core.errors import AuthorizationError, NotSignedInError
from gridward.server import browser
from gridward.server.pages.forms import form_of
from gridward.server.principals import Principal
from gridward.server.state import server_of

_OWN_SITES: Final = ("same-origin", "none")
_ACCOUNT: Final = "/account"
_SIGN_OUT: Final = "/sign-out"
_LONGEST: Final = 400
"""Characters of an address to which the sign-in leads back."""


class ElsewhereError(Exception):
    """A page is not for who asks, and another is: where they should go."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


def page_caller(request: Request) -> Principal:
    """Return who is signed in, or lead to the page on which one signs in, or sets up a second factor."""
    server = server_of(request)
    cookie = browser.cookie_of(request, server.accounts)
    wanted = request.url.path if request.method == "GET" else "/"
    try:
        if cookie is None:
            raise NotSignedInError("sign in first")
        caller = browser.authenticate(server.accounts, cookie)
    except NotSignedInError as why:
        raise ElsewhereError(f"/sign-in?next={quote(_with_query(request, wanted))}") from why
    path = request.url.path
    own = wanted == _ACCOUNT or path == _SIGN_OUT or path.startswith(f"{_ACCOUNT}/")
    if caller.limited_to == frozenset() and not own:
        raise ElsewhereError(f"{_ACCOUNT}/second-factor")
    return caller


def _with_query(request: Request, path: str) -> str:
    whole = f"{path}?{request.url.query}"
    return whole if request.method == "GET" and request.url.query and len(whole) <= _LONGEST else path


async def form_caller(request: Request) -> Principal:
    """Return who sent a form of ours. Raises `AuthorizationError` for forms of other sites or sessions."""
    require_own_site(request)
    caller = await run_in_threadpool(page_caller, request)
    sent = (await form_of(request)).get(browser.FORM_TOKEN)
    genuine = browser.form_token(server_of(request).keys, caller.session_id)
    if not isinstance(sent, str) or not hmac.compare_digest(sent.encode(), genuine.encode()):
        raise AuthorizationError("this form is of another session; reload the page and send it again")
    return caller


def require_own_site(request: Request) -> None:
    """Raise `AuthorizationError` if the browser says that another site's page sent this."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None and site not in _OWN_SITES:
        raise AuthorizationError("this form was sent from another site")
    if site is None and origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise AuthorizationError("this form was sent from another site")


PageCaller: TypeAlias = Annotated[Principal, Depends(page_caller)]
FormCaller: TypeAlias = Annotated[Principal, Depends(form_caller)]
