"""What the node says of itself to anyone."""

from fastapi import APIRouter

from gridward.api.node import NodeOf
from gridward.api.services import node as about
from gridward.api.services import node_status
from gridward.core.schemas.node import NodeOut
from gridward.core.schemas.status import NodeStatusOut
from gridward.server.state import Caller

router = APIRouter(prefix="/v1/node", tags=["node"])


@router.get("")
def get_node(node: NodeOf) -> NodeOut:
    """Return the node's id, keys and the roles that it offers."""
    return about.describe(node)


@router.get("/status")
def get_node_status(caller: Caller, node: NodeOf) -> NodeStatusOut:
    """Say what is stored, what runs and waits, and how the node stands with gateways; for its owner."""
    return node_status.describe(node, caller)
