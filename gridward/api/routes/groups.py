"""Routes of groups."""

from typing import Annotated

from fastapi import APIRouter, Path

from gridward.api.node import NodeOf
from gridward.api.services import groups
from gridward.core.schemas.access import GROUP_PATTERN
from gridward.core.schemas.groups import GroupIn, GroupOut, GroupPatch, GroupsOut
from gridward.server.state import Caller, ReadDb

router = APIRouter(prefix="/v1/groups", tags=["users"])

GroupName = Annotated[str, Path(pattern=GROUP_PATTERN)]


@router.get("")
def list_groups(caller: Caller, db: ReadDb) -> GroupsOut:
    """List the groups of this node; for those who manage users, publish or host models."""
    return groups.list_all(caller, db)


@router.post("", status_code=201)
def create_group(body: GroupIn, caller: Caller, node: NodeOf) -> GroupOut:
    """Make a group of accounts and gateway identities."""
    return groups.create(node, caller, body)


@router.get("/{name}")
def get_group(name: GroupName, caller: Caller, db: ReadDb) -> GroupOut:
    """Describe a group."""
    return groups.get(caller, db, name)


@router.patch("/{name}")
def change_group(name: GroupName, body: GroupPatch, caller: Caller, node: NodeOf) -> GroupOut:
    """Change who is in a group, at once for every rule that names it."""
    return groups.change(node, caller, name, body)


@router.delete("/{name}", status_code=204)
def delete_group(name: GroupName, caller: Caller, node: NodeOf) -> None:
    """Delete a group and every rule that names it."""
    groups.remove(node, caller, name)
