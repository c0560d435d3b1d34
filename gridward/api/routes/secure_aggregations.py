"""Routes of sums of updates over several nodes: only the sum of a round becomes known, to the asker."""

from fastapi import APIRouter

from gridward.api.node import NodeOf
from gridward.api.services import secure_aggregations
from gridward.core.schemas.deployments import SealedOut
from gridward.core.schemas.secure_aggregations import UpdateContributionIn, UpdateOpeningIn
from gridward.core.schemas.secure_sums import ContributionOut
from gridward.server.state import Caller

router = APIRouter(prefix="/v1/secure-aggregations", tags=["secure sums"])


@router.post("/contributions")
def contribute_update(body: UpdateContributionIn, caller: Caller, node: NodeOf) -> ContributionOut:
    """Hand what a secure training learned to the aggregators, as shares; the same ones when asked again."""
    return secure_aggregations.contribute(node, caller, body)


@router.post("/openings")
def open_updates(body: UpdateOpeningIn, caller: Caller, node: NodeOf) -> SealedOut:
    """Add up one share of each contributor; for one document the sum of the same ones only."""
    return secure_aggregations.open_sum(node, caller, body)
