"""Roles of a node or gateway: what each may do, and making one's own."""

import builtins
from collections.abc import Sequence

from gridward.client.checks import checked
from gridward.client.place import segment
from gridward.client.transport import Transport
from gridward.core.schemas.roles import RoleIn, RoleOut, RolePatch, RolesOut


class Roles:
    """``node.roles`` and ``grid.roles``. Nobody gives a role a capability that they lack themselves."""

    def __init__(self, server: Transport) -> None:
        self._server = server

    def list(self) -> "builtins.list[RoleOut]":
        """All roles: the built-in ones first."""
        return self._server.fetch(RolesOut, "GET", "/v1/roles").items

    def make(
        self, name: str, capabilities: Sequence[str], *, description: str = "", second_factor: bool = False
    ) -> RoleOut:
        """Make a role of capabilities that you have, such as ``["publish", "decide_requests"]``."""
        with checked():
            body = RoleIn(
                name=name,
                description=description,
                capabilities=[*capabilities],
                second_factor=second_factor,
            )
        return self._server.fetch(RoleOut, "POST", "/v1/roles", body=body)

    def change(
        self,
        name: str,
        *,
        capabilities: Sequence[str] | None = None,
        description: str | None = None,
        second_factor: bool | None = None,
    ) -> RoleOut:
        """Change a role of those who hold it, at once; what is left out stays."""
        given = None if capabilities is None else [*capabilities]
        with checked():
            patch = RolePatch(description=description, capabilities=given, second_factor=second_factor)
        return self._server.fetch(RoleOut, "PATCH", f"/v1/roles/{segment(name)}", body=patch)

    def delete(self, name: str) -> None:
        """Delete a role that nobody holds; rules that name it go with it."""
        self._server.send("DELETE", f"/v1/roles/{segment(name)}")
