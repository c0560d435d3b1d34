"""The menu of a node's pages."""

from typing import Final

from gridward.server.pages.shell import Link
from gridward.server.principals import Capability

_ASK_OR_DECIDE: Final = frozenset(
    {Capability.COMPUTE, Capability.DECIDE_REQUESTS, Capability.TRIAGE_REQUESTS}
)
LINKS: Final = (
    Link("Home", "/"),
    Link("Requests", "/requests", _ASK_OR_DECIDE),
    Link("Datasets", "/datasets"),
    Link("Models", "/models"),
    Link("Trainings", "/trainings"),
    Link("Users", "/users", frozenset({Capability.MANAGE_USERS}), also=("/roles", "/groups")),
    Link("Audit", "/audit", frozenset({Capability.READ_AUDIT})),
    Link("Health", "/status", frozenset({Capability.MANAGE_SERVER})),
)
