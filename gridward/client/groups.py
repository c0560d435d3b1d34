"""Groups of a node: accounts and gateway identities under one name, for its rules."""

import builtins
from collections.abc import Sequence

from gridward.client.checks import checked
from gridward.client.place import segment
from gridward.client.transport import Transport
from gridward.core.schemas.groups import GroupIn, GroupOut, GroupPatch, GroupsOut


class Groups:
    """``node.groups``. Rules name one as ``"group:ward"``; nobody adds to one that gives more than they hold.

    They are made, changed and deleted by those who manage users.
    """

    def __init__(self, server: Transport) -> None:
        self._server = server

    def list(self) -> "builtins.list[GroupOut]":
        """All groups; members are shown to those who manage users."""
        return self._server.fetch(GroupsOut, "GET", "/v1/groups").items

    def make(self, name: str, members: Sequence[str] = (), *, description: str = "") -> GroupOut:
        """Make a group of accounts (``"ana"``) and gateway identities (``"dana@grid"``)."""
        with checked():
            body = GroupIn(name=name, description=description, members=[*members])
        return self._server.fetch(GroupOut, "POST", "/v1/groups", body=body)

    def change(
        self,
        name: str,
        *,
        add: Sequence[str] = (),
        remove: Sequence[str] = (),
        description: str | None = None,
    ) -> GroupOut:
        """Change who is in it, at once for every rule that names it."""
        with checked():
            patch = GroupPatch(description=description, add=[*add], remove=[*remove])
        return self._server.fetch(GroupOut, "PATCH", f"/v1/groups/{segment(name)}", body=patch)

    def delete(self, name: str) -> None:
        """Delete it and every rule that names it."""
        self._server.send("DELETE", f"/v1/groups/{segment(name)}")
