"""Routes of accounts, included by both services."""

from typing import Annotated, TypeAlias

from fastapi import APIRouter, Path, Query

from gridward.core.schemas.access import PRINCIPAL_PATTERN
from gridward.core.schemas.accounts import (
    CodeIn,
    InvitationAcceptance,
    InvitationOut,
    MailCodeIn,
    MailIn,
    PasswordIn,
    RecoveryOut,
    RefreshIn,
    ResetIn,
    SecondFactorIn,
    SecondFactorOut,
    SecondFactorRemoval,
    ServiceTokenIn,
    ServiceTokenMade,
    ServiceTokensOut,
    SessionIn,
    SessionOut,
    SessionsOut,
    SetupIn,
    UserIn,
    UserOut,
    UserPatch,
    UsersOut,
)
from gridward.server import invitations, own_mail, second_factor, service_tokens, sessions, users
from gridward.server.state import AccountsOf, Address, Caller

router = APIRouter(prefix="/v1")
Username: TypeAlias = Annotated[str, Path(pattern=PRINCIPAL_PATTERN)]


@router.post("/setup", status_code=201, tags=["setup"])
def set_up(body: SetupIn, accounts: AccountsOf, address: Address) -> UserOut:
    """Become the owner with the one-time token that `gridward init` printed."""
    return users.setup(
        accounts, body.token.get_secret_value(), body.username, body.password.get_secret_value(), address
    )


@router.post("/sessions", status_code=201, tags=["sessions"])
def sign_in(body: SessionIn, accounts: AccountsOf, address: Address) -> SessionOut:
    """Sign in."""
    code = None if body.code is None else body.code.get_secret_value()
    return sessions.sign_in(accounts, body.username, body.password.get_secret_value(), address, code)


@router.post("/sessions/refresh", tags=["sessions"])
def refresh(body: RefreshIn, accounts: AccountsOf) -> SessionOut:
    """Exchange the refresh token for a new pair of tokens."""
    return sessions.refresh(accounts, body.refresh_token.get_secret_value())


@router.get("/sessions", tags=["sessions"])
def list_sessions(caller: Caller, accounts: AccountsOf) -> SessionsOut:
    """List one's own living sessions."""
    return sessions.list_own(accounts, caller)


@router.delete("/sessions/{session_id}", status_code=204, tags=["sessions"])
def revoke_session(
    session_id: Annotated[str, Path(max_length=64, description="A session's id, or `current` to sign out.")],
    caller: Caller,
    accounts: AccountsOf,
) -> None:
    """End one of one's own sessions at once."""
    sessions.revoke(accounts, caller, session_id)


@router.get("/users/me", tags=["users"])
def get_own_user(caller: Caller, accounts: AccountsOf) -> UserOut:
    """Describe one's own account."""
    return users.get_own(accounts, caller)


@router.put("/users/me/password", status_code=204, tags=["users"])
def change_password(body: PasswordIn, caller: Caller, accounts: AccountsOf, address: Address) -> None:
    """Change one's own password; one's other sessions end."""
    users.change_password(
        accounts, caller, body.old_password.get_secret_value(), body.new_password.get_secret_value(), address
    )


@router.put("/users/me/mail", tags=["users"])
def change_own_mail(body: MailIn, caller: Caller, accounts: AccountsOf, address: Address) -> UserOut:
    """Set one's own e-mail address and which notices come there."""
    return own_mail.change_own(accounts, caller, body, address)


@router.post("/users/me/second-factor", status_code=201, tags=["users"])
def begin_second_factor(
    body: SecondFactorIn, caller: Caller, accounts: AccountsOf, address: Address
) -> SecondFactorOut:
    """Begin to set up a second factor; it counts once it was confirmed."""
    return second_factor.begin(accounts, caller, body.password.get_secret_value(), address)


@router.put("/users/me/second-factor", tags=["users"])
def confirm_second_factor(
    body: CodeIn, caller: Caller, accounts: AccountsOf, address: Address
) -> RecoveryOut:
    """Switch the second factor on with a first code; one's other sessions end."""
    return second_factor.confirm(accounts, caller, body.code.get_secret_value(), address)


@router.post("/users/me/second-factor/removal", status_code=204, tags=["users"])
def remove_own_second_factor(
    body: SecondFactorRemoval, caller: Caller, accounts: AccountsOf, address: Address
) -> None:
    """Take one's own second factor away; one's other sessions end."""
    second_factor.remove_own(
        accounts, caller, body.password.get_secret_value(), body.code.get_secret_value(), address
    )


@router.get("/service-tokens", tags=["sessions"])
def list_service_tokens(caller: Caller, accounts: AccountsOf) -> ServiceTokensOut:
    """List one's own tokens for programs."""
    return service_tokens.list_own(accounts, caller)


@router.post("/service-tokens", status_code=201, tags=["sessions"])
def create_service_token(
    body: ServiceTokenIn, caller: Caller, accounts: AccountsOf, address: Address
) -> ServiceTokenMade:
    """Make a token for a program of one's own; it is shown only now."""
    return service_tokens.create(accounts, caller, body, address)


@router.delete("/service-tokens/{token_id}", status_code=204, tags=["sessions"])
def revoke_service_token(
    token_id: Annotated[str, Path(max_length=64)], caller: Caller, accounts: AccountsOf
) -> None:
    """End one of one's own tokens at once."""
    service_tokens.revoke(accounts, caller, token_id)


@router.post("/users/me/mail/confirmation", tags=["users"])
def confirm_own_mail(body: MailCodeIn, caller: Caller, accounts: AccountsOf, address: Address) -> UserOut:
    """Confirm one's own e-mail address with the code that was mailed there."""
    return own_mail.confirm_own(accounts, caller, body.code.get_secret_value(), address)


@router.post("/users/me/mail/code", status_code=202, tags=["users"])
def send_mail_code(caller: Caller, accounts: AccountsOf) -> None:
    """Have another code mailed to one's own address."""
    own_mail.send_code(accounts, caller)


@router.post("/invitations", tags=["users"])
def accept_invitation(body: InvitationAcceptance, accounts: AccountsOf, address: Address) -> UserOut:
    """Set the password of one's account with the one-time token that an administrator made."""
    return invitations.accept(
        accounts, body.token.get_secret_value(), body.password.get_secret_value(), address
    )


@router.post("/password-resets", status_code=202, tags=["users"])
def ask_reset(body: ResetIn, accounts: AccountsOf, address: Address) -> None:
    """Ask for a one-time token by e-mail; the answer is the same whether or not there is such an account."""
    invitations.ask_reset(accounts, body.username, address)


@router.get("/users", tags=["users"])
def list_users(
    caller: Caller,
    accounts: AccountsOf,
    offset: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> UsersOut:
    """List accounts; for those who manage them."""
    return users.list_all(accounts, caller, offset, limit)


@router.post("/users", status_code=201, tags=["users"])
def create_user(body: UserIn, caller: Caller, accounts: AccountsOf) -> UserOut:
    """Make an account, or admit a gateway identity."""
    return users.create(accounts, caller, body)


@router.get("/users/{username}", tags=["users"])
def get_user(username: Username, caller: Caller, accounts: AccountsOf) -> UserOut:
    """Describe an account; for those who manage it."""
    return users.get(accounts, caller, username)


@router.patch("/users/{username}", tags=["users"])
def change_user(
    username: Username,
    body: UserPatch,
    caller: Caller,
    accounts: AccountsOf,
) -> UserOut:
    """Change an account's role, or disable it."""
    return users.change(accounts, caller, username, body)


@router.post("/users/{username}/invitation", status_code=201, tags=["users"])
def invite(username: Username, caller: Caller, accounts: AccountsOf) -> InvitationOut:
    """Make a one-time token by which the person sets the password, at first or after it was lost."""
    return invitations.invite(accounts, caller, username)


@router.get("/users/{username}/sessions", tags=["users"])
def list_sessions_of(username: Username, caller: Caller, accounts: AccountsOf) -> SessionsOut:
    """List the living sessions of an account; for those who manage it."""
    return users.list_sessions(accounts, caller, username)


@router.delete("/users/{username}/sessions", status_code=204, tags=["users"])
def end_sessions_of(username: Username, caller: Caller, accounts: AccountsOf) -> None:
    """End every session of an account at once; for those who manage it."""
    users.end_sessions(accounts, caller, username)


@router.delete("/users/{username}/second-factor", status_code=204, tags=["users"])
def remove_second_factor(username: Username, caller: Caller, accounts: AccountsOf) -> None:
    """Take the second factor of somebody who lost the device away; the sessions end."""
    second_factor.remove(accounts, caller, username)
