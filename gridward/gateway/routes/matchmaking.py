"""Route of matchmaking."""

from fastapi import APIRouter

from gridward.core.schemas.gateway import MatchIn, MatchOut
from gridward.gateway import matchmaking
from gridward.gateway.state import GatewayOf, Viewer
from gridward.server.state import ReadDb

router = APIRouter(prefix="/v1/matchmaking", tags=["matchmaking"])


@router.post("")
def match(body: MatchIn, _viewer: Viewer, gateway: GatewayOf, db: ReadDb) -> MatchOut:
    """Choose live parties and a crypto provider, no owner twice; for users and members."""
    return matchmaking.match(gateway, db, body)
