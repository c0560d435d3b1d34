"""Groups: who is in them; made, changed and deleted by those who manage accounts."""

import re
from typing import Annotated, Final, TypeAlias

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel
from starlette.responses import Response

from gridward.api.node import NodeOf
from gridward.api.services import groups
from gridward.core.schemas.access import GROUP_PATTERN
from gridward.core.schemas.groups import GroupIn, GroupPatch
from gridward.server.pages.forms import checked, posted
from gridward.server.pages.guard import FormCaller, PageCaller
from gridward.server.pages.paging import PageNumber, Paging, offset
from gridward.server.pages.shell import done, page
from gridward.server.state import ReadDb

router = APIRouter(prefix="/groups", include_in_schema=False)
GroupName: TypeAlias = Annotated[str, Path(pattern=GROUP_PATTERN)]
MEMBERS: Final = 100
"""Members on one page of a group."""


class GroupForm(BaseModel):
    """What the forms of groups send; names stand apart by spaces, commas or lines."""

    name: str = ""
    description: str | None = None
    add: str = ""
    remove: str = ""

    def new(self) -> GroupIn:
        """Return a new group as REST takes it."""
        given = {"name": self.name, "description": self.description or "", "members": _names(self.add)}
        return checked(GroupIn, given)

    def changed(self) -> GroupPatch:
        """Return what changes as REST takes it."""
        given = {"description": self.description, "add": _names(self.add), "remove": _names(self.remove)}
        return checked(GroupPatch, given)


@router.get("")
def show_groups(request: Request, caller: PageCaller, db: ReadDb) -> Response:
    """List the groups, and offer to make one."""
    return page(request, "groups.html", caller, groups=groups.list_all(caller, db).items)


@router.post("")
def make_group(
    request: Request, caller: FormCaller, node: NodeOf, form: Annotated[GroupForm, posted(GroupForm)]
) -> Response:
    """Make a group."""
    made = groups.create(node, caller, form.new())
    return done(request, f"/groups/{made.name}", "saved")


@router.get("/{name}")
def show_group(
    request: Request, caller: PageCaller, db: ReadDb, name: GroupName, number: PageNumber = 1
) -> Response:
    """Show a group, and who is in it to those who manage accounts."""
    found = groups.get(caller, db, name)
    before = offset(number, MEMBERS)
    members = (found.members or [])[before : before + MEMBERS]
    paging = Paging(number, len(found.members or []), MEMBERS)
    return page(request, "group.html", caller, group=found, members=members, paging=paging)


@router.post("/{name}")
def change_group(
    request: Request,
    caller: FormCaller,
    node: NodeOf,
    name: GroupName,
    form: Annotated[GroupForm, posted(GroupForm)],
) -> Response:
    """Change who is in a group, at once for every rule that names it."""
    groups.change(node, caller, name, form.changed())
    return done(request, f"/groups/{name}", "saved")


@router.post("/{name}/delete")
def delete_group(request: Request, caller: FormCaller, node: NodeOf, name: GroupName) -> Response:
    """Delete a group and every rule that names it."""
    groups.remove(node, caller, name)
    return done(request, "/groups", "deleted")


def _names(words: str) -> list[str]:
    return [word for word in re.split(r"[\s,;]+", words) if word]
