"""What the node says of itself to anyone."""

from fastapi import APIRouter

from gridward.api.node import NodeOf
from gridward.api.services import node as about
from gridward.core.schemas.node import NodeOut

router = APIRouter(prefix="/v1/node", tags=["node"])


@router.get("")
def get_node(node: NodeOf) -> NodeOut:
    """Return the node's id, keys and the roles that it offers."""
    return about.describe(node)
