"""Routes of roles, included by both services."""

from typing import Annotated

from fastapi import APIRouter, Path

from gridward.core.schemas.access import ROLE_PATTERN
from gridward.core.schemas.roles import RoleIn, RoleOut, RolePatch, RolesOut
from gridward.server import roles
from gridward.server.state import AccountsOf, Caller

router = APIRouter(prefix="/v1/roles", tags=["users"])
RoleName = Annotated[str, Path(pattern=ROLE_PATTERN)]


@router.get("")
def list_roles(caller: Caller, accounts: AccountsOf) -> RolesOut:
    """List the roles of this server and what each may do."""
    return roles.list_all(accounts, caller)


@router.post("", status_code=201)
def create_role(body: RoleIn, caller: Caller, accounts: AccountsOf) -> RoleOut:
    """Make a role of capabilities that one has."""
    return roles.create(accounts, caller, body)


@router.patch("/{name}")
def change_role(name: RoleName, body: RolePatch, caller: Caller, accounts: AccountsOf) -> RoleOut:
    """Change what a role may do, at once for all who hold it; never a built-in one."""
    return roles.change(accounts, caller, name, body)


@router.delete("/{name}", status_code=204)
def delete_role(name: RoleName, caller: Caller, accounts: AccountsOf) -> None:
    """Delete a role that nobody holds; rules that name it go with it."""
    roles.remove(accounts, caller, name)
