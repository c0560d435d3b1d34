"""What a running gateway is made of, and who its callers are: users by session, nodes by signature."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import IO, Annotated, Final, TypeAlias

from fastapi import Depends, Request

from gridward.core.errors import AuthorizationError, NotSignedInError, ObjectNotFoundError
from gridward.core.identity import read_sign_key
from gridward.core.schemas.node import NODE_ID_PATTERN
from gridward.gateway.tables import Node, Standing
from gridward.server.principals import Principal
from gridward.server.rate_limit import RateLimit
from gridward.server.settings import GatewaySettings
from gridward.server.signing import verify_request
from gridward.server.state import BearerToken, RawBody, Server, caller_of
from gridward.server.tokens import Kind, peek, read

_ID: Final = re.compile(NODE_ID_PATTERN)


@dataclass(kw_only=True)
class Gateway(Server):
    """The parts of one running gateway."""

    settings: GatewaySettings
    claimed: IO[bytes]
    joins: RateLimit
    heartbeats: RateLimit
    pushes: RateLimit
    chance: Random

    def vouch(self, token: str, most_bytes: int) -> int:
        """Known nodes get all the room as well: catalogues are large. Who asks to join needs little."""
        if peek(token)[0] == Kind.REQUEST:
            claimed_node(self, token)
            return most_bytes
        return super().vouch(token, most_bytes)

    def live_since(self) -> datetime:
        """Return the moment since which a node must have been heard of to count as live."""
        return self.clock() - timedelta(seconds=self.settings.away_after_s)


@dataclass(frozen=True, slots=True)
class SignedCall:
    """A request that claims to be signed by a node: its token, the bytes and the route it was made for."""

    token: str
    body: bytes
    target: str

    def verify(self, gateway: Gateway, node_id: str, sign_key: str) -> None:
        """Raise `NotSignedInError` unless the owner of this key signed this very request, just now, once.

        The caller has made sure that the key belongs to `node_id`.
        """
        verify_request(
            self.token,
            read_sign_key(sign_key),
            gateway.keys.id,
            self.body,
            gateway.replays,
            issuer=node_id,
            target=self.target,
            clock=gateway.clock,
        )


def gateway_of(request: Request) -> Gateway:
    """Return the gateway that handles this request."""
    gateway = request.app.state.server
    if not isinstance(gateway, Gateway):
        raise TypeError("the app was built without a gateway")
    return gateway


GatewayOf: TypeAlias = Annotated[Gateway, Depends(gateway_of)]


def claimed_node(gateway: GatewayOf, token: BearerToken) -> Node:
    """Return the node whose key signed the token; the body, not read yet, is still to be compared.

    So a stranger cannot make the gateway hold a large body. Raises `ObjectNotFoundError` for an id that never
    asked to join: the node's sign to ask.
    """
    kind, issuer = peek(token)
    if kind != Kind.REQUEST or not _ID.fullmatch(issuer):
        raise NotSignedInError("this call is for nodes: sign it with the node's key")
    with gateway.database.read() as db:
        node = db.get(Node, issuer)
    if node is None:
        raise ObjectNotFoundError(
            f"this gateway does not know the node '{issuer}'; it must ask to join first"
        )
    key = read_sign_key(node.sign_key)
    read(Kind.REQUEST, token, key, issuer=issuer, audience=gateway.keys.id, now=gateway.clock())
    return node


ClaimedNode: TypeAlias = Annotated[Node, Depends(claimed_node)]


def signed_call(request: Request, token: BearerToken, body: RawBody) -> SignedCall:
    """Return the request as its signature covers it."""
    return SignedCall(token, body, f"{request.method} {request.scope['path']}")


Signed: TypeAlias = Annotated[SignedCall, Depends(signed_call)]


def signing_node(gateway: GatewayOf, node: ClaimedNode, call: Signed) -> Node:
    """Return the node that signed this request, whatever the gateway's owner thinks of it."""
    call.verify(gateway, node.id, node.sign_key)
    return node


SigningNode: TypeAlias = Annotated[Node, Depends(signing_node)]


def require_self(signer: Node, node_id: str) -> None:
    """Raise `AuthorizationError` if a node speaks for another."""
    if signer.id != node_id:
        raise AuthorizationError("a node speaks for itself only")


def viewer_of(request: Request, gateway: GatewayOf, token: BearerToken, call: Signed) -> Principal | Node:
    """Return the signed-in user, or the approved node, that wants to look into the directory."""
    if peek(token)[0] != Kind.REQUEST:
        return caller_of(request, token)
    node = signing_node(gateway, claimed_node(gateway, token), call)
    if node.standing != Standing.APPROVED:
        raise NotSignedInError("the directory is for members; the gateway's owner has not approved this node")
    return node


Viewer: TypeAlias = Annotated[Principal | Node, Depends(viewer_of)]
