"""What a browser goes through to sign in by the provider: away, back, and into an account or a program."""

import hashlib
from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import RedirectResponse, Response

from gridward.core.errors import InvalidInputError, SecondFactorRequiredError
from gridward.server import browser
from gridward.server.accounts import Accounts
from gridward.server.oidc import sign_in
from gridward.server.oidc.flow import FLOW_S, Loopback
from gridward.server.pages.forms import posted
from gridward.server.pages.guard import require_own_site
from gridward.server.pages.shell import done, own_path, page
from gridward.server.state import AccountsOf, Address

router = APIRouter(include_in_schema=False)
strangers = APIRouter(include_in_schema=False, dependencies=[Depends(require_own_site)])
_DRAWN: Final = r"^[A-Za-z0-9_-]{43,128}$"


class TicketForm(BaseModel):
    """What is still missing after the provider: a code, or an invitation."""

    ticket: str = Field(max_length=8000, repr=False)
    next: str = "/"
    code: str = Field(default="", max_length=40, repr=False)
    invitation: str = Field(default="", max_length=200, repr=False)


@router.get("/sign-in/oidc")
def depart(
    request: Request,
    accounts: AccountsOf,
    next: Annotated[str, Query(max_length=500)] = "/",
    port: Annotated[int | None, Query(ge=1024, le=65_535)] = None,
    challenge: Annotated[str | None, Query(pattern=_DRAWN)] = None,
    state: Annotated[str | None, Query(pattern=_DRAWN)] = None,
) -> Response:
    """Send the browser to the provider; with a port, its way ends at a program of this machine."""
    loopback = None
    if port is not None:
        if challenge is None or state is None:
            raise InvalidInputError("port: a program sends its challenge and state too")
        loopback = Loopback(port, challenge, state)
    departure = sign_in.depart(accounts, own_path(next), loopback)
    answer = RedirectResponse(departure.address, 303)
    name, secure = _cookie(request, accounts)
    answer.set_cookie(
        name, departure.cookie, max_age=int(FLOW_S), path="/", httponly=True, samesite="lax", secure=secure
    )
    return answer


@router.get(sign_in.CALLBACK)
def arrive(
    request: Request,
    accounts: AccountsOf,
    address: Address,
    state: Annotated[str, Query(max_length=100)],
    code: Annotated[str | None, Query(max_length=4000)] = None,
    error: Annotated[str | None, Query(max_length=200)] = None,
    iss: Annotated[str | None, Query(max_length=400)] = None,
) -> Response:
    """Take the browser back from the provider."""
    name, secure = _cookie(request, accounts)
    arrival = sign_in.arrive(
        accounts,
        request.cookies.get(name),
        state=state,
        code=code,
        error=error,
        issuer=iss,
    )
    loopback = arrival.flow.loopback
    if loopback is not None:
        sent = urlencode({"ticket": arrival.ticket, "state": loopback.state})
        answer: Response = RedirectResponse(f"http://127.0.0.1:{loopback.port}/?{sent}", 303)
    else:
        form = TicketForm(ticket=arrival.ticket, next=arrival.flow.next)
        answer = _admit_or_ask(request, accounts, address, form)
    answer.delete_cookie(name, path="/", httponly=True, samesite="lax", secure=secure)
    return answer


@strangers.post("/sign-in/oidc")
def finish(
    request: Request, form: Annotated[TicketForm, posted(TicketForm)], accounts: AccountsOf, address: Address
) -> Response:
    """Sign in with what was missing."""
    return _admit(request, accounts, address, form)


def _admit_or_ask(request: Request, accounts: AccountsOf, address: Address, form: TicketForm) -> Response:
    try:
        return _admit(request, accounts, address, form)
    except SecondFactorRequiredError:
        return page(request, "oidc.html", ticket=form.ticket, next=form.next, asks="code", why="")
    except sign_in.NobodyLinkedError as why:
        return page(
            request, "oidc.html", ticket=form.ticket, next=form.next, asks="invitation", why=why.detail
        )


def _admit(request: Request, accounts: AccountsOf, address: Address, form: TicketForm) -> Response:
    user, vouched = sign_in.finish(
        accounts, form.ticket, address, code=form.code or None, invitation=form.invitation or None
    )
    answer = done(request, own_path(form.next))
    cookie = browser.open_session(accounts, user, vouched=vouched)
    browser.set_cookie(request, answer, accounts, cookie)
    return answer


def _cookie(request: Request, accounts: Accounts) -> tuple[str, bool]:
    """Return the name of this server's cookie of a sign-in under way, and whether it takes https."""
    secure = browser.is_secure(request, accounts)
    name = f"gridward-oidc-{hashlib.sha256(accounts.keys.id.encode()).hexdigest()[:12]}"
    return (f"__Host-{name}" if secure else name), secure
