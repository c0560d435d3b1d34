"""What a node's owner sees of bundles: those it deals as a crypto provider, and those it holds as a party."""

from fastapi import APIRouter

from gridward.api.node import NodeOf
from gridward.api.services import bundles
from gridward.core.schemas.bundles import BundlesOut
from gridward.server.state import Caller

router = APIRouter(prefix="/v1/bundles", tags=["provider"])


@router.get("")
def list_bundles(caller: Caller, node: NodeOf) -> BundlesOut:
    """List who had how many bundles and what is left, by deployment. For the node's owner."""
    return bundles.list_all(node, caller)
