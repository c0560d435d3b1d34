"""A running node: its parts, and how Bearer tokens become principals on it."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Annotated, Final, TypeAlias

from fastapi import Depends, Request

from gridward.api import queries, queries_results
from gridward.api.parties.calls import Calls
from gridward.api.parties.offline import Offline
from gridward.api.parties.room import Room
from gridward.api.training_runs import TrainingRuns
from gridward.api.workers import Workers
from gridward.core.errors import NotSignedInError
from gridward.core.identity import read_sign_key
from gridward.core.schemas.access import USERNAME_PATTERN
from gridward.core.schemas.accounts import RoleName
from gridward.server import roles, sessions, tokens
from gridward.server.blobs import BlobFolder
from gridward.server.jobs import Bell
from gridward.server.principals import Principal
from gridward.server.settings import NodeSettings
from gridward.server.state import Server

PROPOSAL_BYTES: Final = 4 * 2**20


@dataclass(kw_only=True)
class Node(Server):
    """The parts of one running node."""

    settings: NodeSettings
    claimed: IO[bytes]
    blobs: BlobFolder
    catalogue_changed: Bell
    workers: Workers
    trainings: TrainingRuns
    calls: Calls
    room: Room
    offline: Offline
    started_at: datetime

    def parts(self) -> dict[str, bool]:
        """A node computes too."""
        return super().parts() | {"the plan workers": self.workers.is_open}

    def authenticate(self, token: str) -> Principal:
        """Accept the node's own access tokens and identity tokens of gateways that it joined."""
        kind, issuer = tokens.peek(token)
        if kind == tokens.Kind.IDENTITY:
            return self._identity(token, issuer)
        return super().authenticate(token)

    def vouch(self, token: str, most_bytes: int) -> int:
        """Callers with rights here, and those whom the host of a deployment sends, get all the room.

        A deployment's proposal carries its proof inside, so that it has to be read first: it gets some.
        """
        kind, issuer = tokens.peek(token)
        if kind == tokens.Kind.REQUEST:
            return min(PROPOSAL_BYTES, most_bytes)
        if kind == tokens.Kind.GRANT:
            self._require_host(token, issuer)
            return most_bytes
        return super().vouch(token, most_bytes)

    def _require_host(self, token: str, issuer: str) -> None:
        with self.database.read() as db:
            key = queries_results.host_key(db, issuer)
        if key is None:
            raise NotSignedInError("this node takes part in no deployment of the host that signed the grant")
        tokens.read(
            tokens.Kind.GRANT,
            token,
            read_sign_key(key),
            issuer=issuer,
            audience=self.keys.id,
            now=self.clock(),
        )

    def _identity(self, token: str, issuer: str) -> Principal:
        with self.database.read() as db:
            membership = queries.joined_membership(db, issuer)
            if membership is None:
                raise NotSignedInError("this node did not join the gateway that issued the token")
            claims = tokens.read(
                tokens.Kind.IDENTITY,
                token,
                read_sign_key(membership.sign_key),
                issuer=membership.gateway_id,
                audience=self.keys.id,
                now=self.clock(),
            )
            if not re.fullmatch(USERNAME_PATTERN, str(claims["sub"])):
                raise NotSignedInError("the gateway names nobody that could be a user")
            name = f"{claims['sub']}@{membership.gateway_name}"
            user = sessions.user_named(db, self.accounts, name)
            if user is None:
                return Principal(name, RoleName.GUEST, None, str(claims["jti"]))
            if user.disabled:
                raise NotSignedInError("this node's owner has disabled this identity")
            return roles.principal(db, self.accounts.tables.role, user, str(claims["jti"]))


def node_of(request: Request) -> Node:
    """Return the node that handles this request."""
    node = request.app.state.server
    if not isinstance(node, Node):
        raise TypeError("the app was built without a node")
    return node


NodeOf: TypeAlias = Annotated[Node, Depends(node_of)]
