"""Routes of memberships, for the node's owner."""

from fastapi import APIRouter

from gridward.api.hearts import HeartsOf
from gridward.api.node import NodeOf
from gridward.api.services import memberships
from gridward.core.schemas.node import MembershipIn, MembershipOut, MembershipsOut
from gridward.server.state import Caller

router = APIRouter(prefix="/v1/memberships", tags=["memberships"])


@router.post("", status_code=201)
def join_gateway(body: MembershipIn, caller: Caller, node: NodeOf, hearts: HeartsOf) -> MembershipOut:
    """Ask a gateway to take this node in."""
    return memberships.join(node, hearts, caller, body)


@router.get("")
def list_memberships(caller: Caller, node: NodeOf) -> MembershipsOut:
    """List the gateways that this node joined."""
    return memberships.list_all(node, caller)
