"""Roles: what each may do; own ones made, changed and deleted by those who manage accounts."""

from typing import Annotated, TypeAlias

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel
from starlette.responses import Response

from gridward.core.errors import ObjectNotFoundError
from gridward.core.schemas.access import ROLE_PATTERN
from gridward.core.schemas.roles import RoleIn, RolePatch
from gridward.server import roles
from gridward.server.pages.forms import checked, posted
from gridward.server.pages.guard import FormCaller, PageCaller
from gridward.server.pages.shell import done, page
from gridward.server.state import AccountsOf

router = APIRouter(prefix="/roles", include_in_schema=False)
RoleName: TypeAlias = Annotated[str, Path(pattern=ROLE_PATTERN)]


class RoleForm(BaseModel):
    """What the forms of roles send: a box that is not ticked says no."""

    name: str = ""
    description: str = ""
    capabilities: list[str] = []
    second_factor: bool = False

    def new(self) -> RoleIn:
        """Return a new role as REST takes it."""
        return checked(RoleIn, self.model_dump())

    def changed(self) -> RolePatch:
        """Return all that may change as REST takes it."""
        return checked(RolePatch, self.model_dump(exclude={"name"}))


@router.get("")
def show_roles(request: Request, caller: PageCaller, accounts: AccountsOf) -> Response:
    """List the roles, and offer to make one."""
    return page(request, "roles.html", caller, roles=roles.list_all(accounts, caller).items)


@router.post("")
def make_role(
    request: Request, caller: FormCaller, accounts: AccountsOf, form: Annotated[RoleForm, posted(RoleForm)]
) -> Response:
    """Make a role."""
    roles.create(accounts, caller, form.new())
    return done(request, "/roles", "saved")


@router.get("/{name}")
def show_role(request: Request, caller: PageCaller, accounts: AccountsOf, name: RoleName) -> Response:
    """Show a role, and the form by which it changes."""
    found = {role.name: role for role in roles.list_all(accounts, caller).items}
    if name not in found:
        raise ObjectNotFoundError(f"no role '{name}'")
    return page(request, "role.html", caller, role=found[name])


@router.post("/{name}")
def change_role(
    request: Request,
    caller: FormCaller,
    accounts: AccountsOf,
    name: RoleName,
    form: Annotated[RoleForm, posted(RoleForm)],
) -> Response:
    """Change what a role may do, at once for all who hold it."""
    roles.change(accounts, caller, name, form.changed())
    return done(request, f"/roles/{name}", "saved")


@router.post("/{name}/delete")
def delete_role(request: Request, caller: FormCaller, accounts: AccountsOf, name: RoleName) -> Response:
    """Delete a role that nobody holds."""
    roles.remove(accounts, caller, name)
    return done(request, "/roles", "deleted")
