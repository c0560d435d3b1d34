"""The menu of a gateway's pages."""

from typing import Final

from gridward.server.pages.shell import Link
from gridward.server.principals import Capability

LINKS: Final = (
    Link("Home", "/"),
    Link("Search", "/search"),
    Link("Nodes", "/nodes"),
    Link("Runs", "/runs"),
    Link("Users", "/users", frozenset({Capability.MANAGE_USERS}), also=("/roles",)),
    Link("Audit", "/audit", frozenset({Capability.READ_AUDIT})),
)
