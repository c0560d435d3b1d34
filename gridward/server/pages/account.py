"""One's own account: password, sessions, tokens for programs."""

from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from gridward.core.schemas.accounts import MailCodeIn, MailIn, PasswordIn, ServiceTokenIn
from gridward.server import outbox, own_mail, service_tokens, sessions, users
from gridward.server.pages.forms import posted
from gridward.server.pages.guard import FormCaller, PageCaller
from gridward.server.pages.shell import done, page
from gridward.server.state import AccountsOf, Address

router = APIRouter(prefix="/account", include_in_schema=False)
_PATH = "/account"


@router.get("")
def show_account(request: Request, caller: PageCaller, accounts: AccountsOf) -> Response:
    """Show one's own account, where it is signed in, and its tokens."""
    return page(
        request,
        "account.html",
        caller,
        user=users.get_own(accounts, caller),
        has_password=sessions.has_password(accounts, caller),
        sessions=sessions.list_own(accounts, caller).items,
        tokens=service_tokens.list_own(accounts, caller).items,
        mails=outbox.sends(accounts),
    )


@router.post("/password")
def change_password(
    request: Request,
    caller: FormCaller,
    accounts: AccountsOf,
    address: Address,
    body: Annotated[PasswordIn, posted(PasswordIn)],
) -> Response:
    """Change one's own password; one's other sessions end."""
    old, new = body.old_password.get_secret_value(), body.new_password.get_secret_value()
    users.change_password(accounts, caller, old, new, address)
    return done(request, _PATH, "saved")


@router.post("/mail")
def change_mail(
    request: Request,
    caller: FormCaller,
    accounts: AccountsOf,
    address: Address,
    body: Annotated[MailIn, posted(MailIn)],
) -> Response:
    """Set one's own e-mail address and what comes there."""
    own_mail.change_own(accounts, caller, body, address)
    return done(request, _PATH, "saved")


@router.post("/mail/confirmation")
def confirm_mail(
    request: Request,
    caller: FormCaller,
    accounts: AccountsOf,
    address: Address,
    body: Annotated[MailCodeIn, posted(MailCodeIn)],
) -> Response:
    """Confirm one's own e-mail address with the code that was mailed there."""
    own_mail.confirm_own(accounts, caller, body.code.get_secret_value(), address)
    return done(request, _PATH, "saved")


@router.post("/mail/code")
def send_mail_code(request: Request, caller: FormCaller, accounts: AccountsOf) -> Response:
    """Have another code mailed to one's own address."""
    own_mail.send_code(accounts, caller)
    return done(request, _PATH, "mailed")


@router.post("/sessions/{session_id}/end")
def end_session(
    request: Request,
    caller: FormCaller,
    accounts: AccountsOf,
    session_id: Annotated[str, Path(max_length=64)],
) -> Response:
    """End one of one's own sessions."""
    sessions.revoke(accounts, caller, session_id)
    return done(request, _PATH, "ended")


@router.post("/tokens")
def make_token(
    request: Request,
    caller: FormCaller,
    accounts: AccountsOf,
    address: Address,
    body: Annotated[ServiceTokenIn, posted(ServiceTokenIn)],
) -> Response:
    """Make a token for a program, and show it once."""
    made = service_tokens.create(accounts, caller, body, address)
    return page(request, "token_made.html", caller, made=made)


@router.post("/tokens/{token_id}/end")
def end_token(
    request: Request,
    caller: FormCaller,
    accounts: AccountsOf,
    token_id: Annotated[str, Path(max_length=64)],
) -> Response:
    """End one of one's own tokens."""
    service_tokens.revoke(accounts, caller, token_id)
    return done(request, _PATH, "ended")
