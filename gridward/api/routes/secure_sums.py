"""Routes of secure sums over several nodes: only the total becomes known, and only to the asker."""

from fastapi import APIRouter

from gridward.api.node import NodeOf
from gridward.api.services import secure_sums
from gridward.core.schemas.deployments import SealedOut
from gridward.core.schemas.secure_sums import ContributionIn, ContributionOut, OpeningIn
from gridward.server.state import Caller

router = APIRouter(prefix="/v1/secure-sums", tags=["secure sums"])


@router.post("/contributions")
def contribute_to_sum(body: ContributionIn, caller: Caller, node: NodeOf) -> ContributionOut:
    """Compute over this node's rows; what could be released leaves as shares for the aggregators only."""
    return secure_sums.contribute(node, caller, body)


@router.post("/openings")
def open_sum(body: OpeningIn, caller: Caller, node: NodeOf) -> SealedOut:
    """Add up one share of each contributor, once; the sum is sealed to the asker."""
    return secure_sums.open_sum(node, caller, body)
