"""Routes of sign-in through a provider for programs, included by both services.

What a browser goes through is in `pages/oidc.py`: it begins there, and comes back there from the provider.
"""

from fastapi import APIRouter

from gridward.core.schemas.accounts import OidcLinkIn, OidcSessionIn, SessionOut, SignInWays, SubjectIn
from gridward.server import sessions
from gridward.server.account_routes import Username
from gridward.server.oidc import sign_in
from gridward.server.state import AccountsOf, Address, Caller

router = APIRouter(prefix="/v1")


@router.get("/sign-in", tags=["sessions"])
def get_ways(accounts: AccountsOf) -> SignInWays:
    """Say how people may sign in here."""
    known = accounts.provider is not None
    return SignInWays(password=True, oidc=accounts.settings.oidc_label if known else None)


@router.post("/sign-in/oidc", status_code=201, tags=["sessions"])
def sign_in_by_ticket(body: OidcSessionIn, accounts: AccountsOf, address: Address) -> SessionOut:
    """Sign in with the ticket that a browser brought to the program that waited for it."""
    sign_in.provider_of(accounts)
    user, vouched = sign_in.finish(
        accounts,
        body.ticket.get_secret_value(),
        address,
        verifier=body.verifier.get_secret_value(),
        code=None if body.code is None else body.code.get_secret_value(),
        invitation=None if body.invitation is None else body.invitation.get_secret_value(),
    )
    return sessions.open_session(accounts, user, vouched=vouched)


@router.put("/users/me/sign-in", status_code=204, tags=["users"])
def link_own_user(body: OidcLinkIn, caller: Caller, accounts: AccountsOf, address: Address) -> None:
    """Link one's own account to the person who was at the provider."""
    sign_in.link_own(
        accounts,
        caller,
        body.ticket.get_secret_value(),
        body.verifier.get_secret_value(),
        body.password.get_secret_value(),
        address,
    )


@router.put("/users/{username}/sign-in", status_code=204, tags=["users"])
def link_user(username: Username, body: SubjectIn, caller: Caller, accounts: AccountsOf) -> None:
    """Link an account to a person at the provider; for those who manage it. Its sessions and tokens end."""
    sign_in.link(accounts, caller, username, body.subject)


@router.delete("/users/{username}/sign-in", status_code=204, tags=["users"])
def unlink_user(username: Username, caller: Caller, accounts: AccountsOf) -> None:
    """Undo that; the account signs in with a password only, if it has one."""
    sign_in.link(accounts, caller, username, None)
