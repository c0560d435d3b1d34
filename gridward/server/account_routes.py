"""Routes of accounts, included by both services."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from gridward.core.schemas.access import PRINCIPAL_PATTERN
from gridward.core.schemas.accounts import (
    PasswordIn,
    RefreshIn,
    SessionIn,
    SessionOut,
    SessionsOut,
    SetupIn,
    UserIn,
    UserOut,
    UserPatch,
    UsersOut,
)
from gridward.server import sessions, users
from gridward.server.state import AccountsOf, Address, Caller

router = APIRouter(prefix="/v1")


@router.post("/setup", status_code=201, tags=["setup"])
def set_up(body: SetupIn, accounts: AccountsOf, address: Address) -> UserOut:
    """Become the owner with the one-time token that `gridward init` printed."""
    return users.setup(
        accounts, body.token.get_secret_value(), body.username, body.password.get_secret_value(), address
    )


@router.post("/sessions", status_code=201, tags=["sessions"])
def sign_in(body: SessionIn, accounts: AccountsOf, address: Address) -> SessionOut:
    """Sign in."""
    return sessions.sign_in(accounts, body.username, body.password.get_secret_value(), address)


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


@router.patch("/users/{username}", tags=["users"])
def change_user(
    username: Annotated[str, Path(pattern=PRINCIPAL_PATTERN)],
    body: UserPatch,
    caller: Caller,
    accounts: AccountsOf,
) -> UserOut:
    """Change an account's role, or disable it."""
    return users.change(accounts, caller, username, body)
