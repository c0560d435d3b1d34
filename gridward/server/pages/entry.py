"""Pages before one is signed in: sign-in, the owner's first visit, accepting an invitation."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import RedirectResponse, Response

from gridward.core.schemas.accounts import InvitationAcceptance, ResetIn, SessionIn, SetupIn
from gridward.server import browser, invitations, outbox, sessions, users
from gridward.server.accounts import UserFields
from gridward.server.pages.forms import checked, posted
from gridward.server.pages.guard import FormCaller, require_own_site
from gridward.server.pages.shell import done, own_path, page
from gridward.server.state import AccountsOf, Address

router = APIRouter(include_in_schema=False)
strangers = APIRouter(include_in_schema=False, dependencies=[Depends(require_own_site)])


class SignInForm(BaseModel):
    """What the form of the sign-in sends; an empty code is none."""

    username: str = ""
    password: str = Field(default="", repr=False)
    code: str = Field(default="", repr=False)
    next: str = "/"

    def checked(self) -> SessionIn:
        """Return it as REST takes it."""
        given = {"username": self.username, "password": self.password, "code": self.code or None}
        return checked(SessionIn, given)


@router.get("/sign-in")
def show_sign_in(
    request: Request, accounts: AccountsOf, next: Annotated[str, Query(max_length=500)] = "/"
) -> Response:
    """Show the sign-in; a server that nobody owns yet shows the owner's first visit."""
    if not users.is_owned(accounts):
        return RedirectResponse("/claim", 303)
    label = accounts.settings.oidc_label if accounts.provider is not None else ""
    resets = outbox.sends(accounts) and accounts.settings.mail_resets
    return page(request, "sign_in.html", next=own_path(next), oidc=label, resets=resets)


@strangers.post("/sign-in")
def sign_in(
    request: Request, form: Annotated[SignInForm, posted(SignInForm)], accounts: AccountsOf, address: Address
) -> Response:
    """Sign in and go where one wanted to."""
    body = form.checked()
    code = None if body.code is None else body.code.get_secret_value()
    user = sessions.prove(accounts, body.username, body.password.get_secret_value(), address, code)
    return _admit(request, accounts, user, own_path(form.next))


@router.post("/sign-out")
def sign_out(request: Request, caller: FormCaller, accounts: AccountsOf) -> Response:
    """End the browser's session."""
    sessions.revoke(accounts, caller, "current")
    answer = done(request, "/sign-in")
    browser.delete_cookie(request, answer, accounts)
    return answer


@router.get("/claim")
def show_claim(request: Request, accounts: AccountsOf) -> Response:
    """Show the owner's first visit, once."""
    if users.is_owned(accounts):
        return RedirectResponse("/sign-in", 303)
    return page(request, "claim.html")


@strangers.post("/claim")
def claim(
    request: Request, form: Annotated[SetupIn, posted(SetupIn)], accounts: AccountsOf, address: Address
) -> Response:
    """Become the owner with the one-time token, and be signed in."""
    password = form.password.get_secret_value()
    users.setup(accounts, form.token.get_secret_value(), form.username, password, address)
    user = sessions.prove(accounts, form.username, password, address)
    return _admit(request, accounts, user, "/")


@router.get("/forgot")
def show_reset(request: Request) -> Response:
    """Show where who forgot the password asks for a token by mail."""
    return page(request, "forgot.html")


@strangers.post("/forgot")
def ask_reset(
    request: Request, form: Annotated[ResetIn, posted(ResetIn)], accounts: AccountsOf, address: Address
) -> Response:
    """Mail a token; the answer is the same whether or not there is such an account."""
    invitations.ask_reset(accounts, form.username, address)
    return done(request, "/accept", "asked")


@router.get("/accept")
def show_acceptance(request: Request, token: Annotated[str, Query(max_length=200)] = "") -> Response:
    """Show where who was invited sets the password."""
    return page(request, "accept.html", token=token)


@strangers.post("/accept")
def accept(
    request: Request,
    form: Annotated[InvitationAcceptance, posted(InvitationAcceptance)],
    accounts: AccountsOf,
    address: Address,
) -> Response:
    """Set the password by the invitation's token; signing in with it comes next."""
    invitations.accept(accounts, form.token.get_secret_value(), form.password.get_secret_value(), address)
    return done(request, "/sign-in", "saved")


def _admit(request: Request, accounts: AccountsOf, user: UserFields, path: str) -> Response:
    answer = done(request, path)
    browser.set_cookie(request, answer, accounts, browser.open_session(accounts, user))
    return answer
