"""Other people's accounts, for those who manage them."""

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import Response

from gridward.core.schemas.accounts import InvitationOut, SubjectIn, UserIn, UserPatch
from gridward.server import invitations, outbox, roles, second_factor, users
from gridward.server.account_routes import Username
from gridward.server.accounts import Accounts
from gridward.server.oidc import sign_in
from gridward.server.pages.forms import checked, posted
from gridward.server.pages.guard import FormCaller, PageCaller
from gridward.server.pages.paging import SIZE, PageNumber, Paging, offset
from gridward.server.pages.shell import done, page
from gridward.server.principals import Principal
from gridward.server.state import AccountsOf, server_of

router = APIRouter(prefix="/users", include_in_schema=False)


class EmailForm(BaseModel):
    """An address; none takes away what there was."""

    email: str = ""


class ProviderForm(BaseModel):
    """Who an account is at the provider; nobody undoes the link."""

    subject: str = ""

    def checked(self) -> str | None:
        """Return it as REST takes it."""
        return checked(SubjectIn, self.model_dump()).subject if self.subject else None


@router.get("")
def show_users(
    request: Request, caller: PageCaller, accounts: AccountsOf, number: PageNumber = 1
) -> Response:
    """List accounts, and offer to make one."""
    found = users.list_all(accounts, caller, offset(number), SIZE)
    paging = Paging(number, found.total)
    return page(
        request,
        "users.html",
        caller,
        users=found.items,
        paging=paging,
        roles=grantable(accounts, caller),
        mails=outbox.sends(accounts),
    )


@router.post("")
def make_user(
    request: Request, caller: FormCaller, accounts: AccountsOf, body: Annotated[UserIn, posted(UserIn)]
) -> Response:
    """Make an account; who is invited gets a link that is shown once."""
    made = users.create(accounts, caller, body)
    if not body.invited:
        return done(request, f"/users/{made.username}", "saved")
    return _invited(request, caller, made.username, invitations.invite(accounts, caller, made.username))


@router.get("/{username}")
def show_user(request: Request, caller: PageCaller, accounts: AccountsOf, username: Username) -> Response:
    """Show an account, and what may be done with it."""
    return page(
        request,
        "user.html",
        caller,
        user=users.get(accounts, caller, username),
        sessions=users.list_sessions(accounts, caller, username).items,
        roles=grantable(accounts, caller),
        mails=outbox.sends(accounts),
        provider=accounts.settings.oidc_label if accounts.provider is not None else "",
    )


@router.post("/{username}")
def change_user(
    request: Request,
    caller: FormCaller,
    accounts: AccountsOf,
    username: Username,
    body: Annotated[UserPatch, posted(UserPatch)],
) -> Response:
    """Change an account's role, or lock or unlock it."""
    users.change(accounts, caller, username, body)
    return done(request, f"/users/{username}", "saved")


@router.post("/{username}/mail")
def change_mail(
    request: Request,
    caller: FormCaller,
    accounts: AccountsOf,
    username: Username,
    form: Annotated[EmailForm, posted(EmailForm)],
) -> Response:
    """Set the address to which an account's letters go."""
    users.change(accounts, caller, username, checked(UserPatch, form.model_dump()))
    return done(request, f"/users/{username}", "saved")


@router.post("/{username}/sign-in")
def link_user(
    request: Request,
    caller: FormCaller,
    accounts: AccountsOf,
    username: Username,
    form: Annotated[ProviderForm, posted(ProviderForm)],
) -> Response:
    """Link an account to a person at the provider, or undo that."""
    sign_in.link(accounts, caller, username, form.checked())
    return done(request, f"/users/{username}", "saved")


@router.post("/{username}/invitation")
def invite(request: Request, caller: FormCaller, accounts: AccountsOf, username: Username) -> Response:
    """Make a link by which the person sets a password, and show it once."""
    return _invited(request, caller, username, invitations.invite(accounts, caller, username))


@router.post("/{username}/sessions/end")
def end_sessions(request: Request, caller: FormCaller, accounts: AccountsOf, username: Username) -> Response:
    """End every session and token of an account."""
    users.end_sessions(accounts, caller, username)
    return done(request, f"/users/{username}", "ended")


@router.post("/{username}/second-factor/removal")
def remove_second_factor(
    request: Request, caller: FormCaller, accounts: AccountsOf, username: Username
) -> Response:
    """Take the second factor of somebody who lost the device away."""
    second_factor.remove(accounts, caller, username)
    return done(request, f"/users/{username}", "saved")


def grantable(accounts: Accounts, caller: Principal) -> list[str]:
    """Return the roles that the caller may give: none that can do more."""
    known = roles.list_all(accounts, caller).items
    return [role.name for role in known if set(role.capabilities) <= caller.capabilities]


def _invited(request: Request, caller: Principal, username: str, made: InvitationOut) -> Response:
    root = server_of(request).accounts.settings.public_url or str(request.base_url)
    return page(request, "invited.html", caller, username=username, made=made, root=root.rstrip("/"))
