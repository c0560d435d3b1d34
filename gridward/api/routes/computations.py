"""Routes of computations."""

from fastapi import APIRouter

from gridward.api.node import NodeOf
from gridward.api.services import computations
from gridward.core.schemas.computations import ComputationIn, ComputationOut
from gridward.server.state import Caller

router = APIRouter(prefix="/v1/computations", tags=["computations"])


@router.post("")
def compute(body: ComputationIn, caller: Caller, node: NodeOf) -> ComputationOut:
    """Run a plan; take its outputs through the release door, or keep them on the node."""
    return computations.run(node, caller, body)
