"""Who is calling: capabilities, roles, and which entries of an access list speak of a principal."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gridward.core.errors import AuthorizationError
from gridward.core.schemas.access import ROLE_ENTRY, SIGNED_IN
from gridward.core.schemas.accounts import RoleName

DISCOVER: Final = "discover"


class Capability(StrEnum):
    """What a role may do at all. Whether it may do it *to this data* is the access list's word."""

    SEE_ALL_DATA = "see_all_data"
    MANAGE_SERVER = "manage_server"
    MANAGE_USERS = "manage_users"
    APPROVE_NODES = "approve_nodes"
    READ_AUDIT = "read_audit"
    TRIAGE_REQUESTS = "triage_requests"
    DECIDE_REQUESTS = "decide_requests"
    PUBLISH = "publish"
    HOST_MODELS = "host_models"
    SEND = "send"
    COMPUTE = "compute"
    TRAIN = "train"
    INFER = "infer"


_ASKS: Final = frozenset({Capability.COMPUTE, Capability.TRAIN, Capability.INFER, Capability.SEND})
_PUBLISHES: Final = _ASKS | {Capability.PUBLISH, Capability.HOST_MODELS}
_TRIAGES: Final = frozenset({Capability.READ_AUDIT, Capability.TRIAGE_REQUESTS, Capability.DECIDE_REQUESTS})
GUARDED: Final = _TRIAGES | {
    Capability.SEE_ALL_DATA,
    Capability.MANAGE_SERVER,
    Capability.MANAGE_USERS,
    Capability.APPROVE_NODES,
}
"""What opens other people's data or accounts; see `roles.needs_second_factor`."""

CAPABILITIES: Final[dict[str, frozenset[Capability]]] = {
    RoleName.OWNER: frozenset(Capability),
    RoleName.ADMIN: _PUBLISHES | _TRIAGES | {Capability.MANAGE_USERS, Capability.APPROVE_NODES},
    RoleName.DATA_OFFICER: _PUBLISHES | {Capability.DECIDE_REQUESTS},
    RoleName.COMPLIANCE_OFFICER: _TRIAGES,
    RoleName.DATA_SCIENTIST: _ASKS | {Capability.HOST_MODELS},
    RoleName.GUEST: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated identity: an account (`ana`) or a gateway identity (`dana@grid`).

    `user_id` is None for a gateway identity that nobody admitted: it may discover, and nothing else.
    `limited_to` is what a token's scopes leave of the role's capabilities; None leaves all. `custom` is what
    a role that is not built in holds, as of the sign-in of this request.
    """

    name: str
    role: str
    user_id: str | None
    session_id: str
    limited_to: frozenset[Capability] | None = None
    custom: frozenset[Capability] = frozenset()

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What its role may do, within its limits; nothing if it was not admitted."""
        if self.user_id is None:
            return frozenset()
        return self.held if self.limited_to is None else self.held & self.limited_to

    @property
    def held(self) -> frozenset[Capability]:
        """What its role may do, with no limits; a role that is gone may do nothing."""
        return CAPABILITIES.get(self.role, self.custom)

    @property
    def owner(self) -> bool:
        """True for those who may see everything on this server."""
        return Capability.SEE_ALL_DATA in self.capabilities

    def acts_for(self, user_id: str, capability: Capability) -> bool:
        """Say whether it is this account, signed in with no limits or with ones that hold the capability."""
        own = self.user_id is not None and self.user_id == user_id
        return own and (self.limited_to is None or capability in self.limited_to)

    def may(self, capability: Capability) -> bool:
        """Say whether the role has the capability."""
        return capability in self.capabilities

    def require(self, capability: Capability) -> None:
        """Raise `AuthorizationError` unless the role has the capability."""
        if capability not in self.capabilities:
            wanted = capability.value.replace("_", " ")
            if self.limited_to is not None and capability in self.held:
                raise AuthorizationError(
                    f"'{self.name}' may not {wanted} with this sign-in: set up the second factor that the "
                    f"role needs, or use a token with the scope {capability.value}"
                )
            raise AuthorizationError(f"'{self.name}' may not {wanted} here; ask the owner for such a role")

    @property
    def admitted(self) -> bool:
        """True for accounts of this server that may do anything at all with this sign-in."""
        return self.user_id is not None and self.limited_to != frozenset()

    def entries(self, verb: str) -> frozenset[str]:
        """Return the entries of rules that speak of this principal for `verb`; a node's groups come on top.

        A rule permits the verb iff its entry is in this set: SQL can ask that with `IN`.
        An identity that was not admitted is spoken of by rules to discover only.
        """
        if not self.admitted:
            return frozenset({self.name, SIGNED_IN}) if verb == DISCOVER else frozenset()
        return frozenset({self.name, SIGNED_IN, f"{ROLE_ENTRY}{self.role}"})
