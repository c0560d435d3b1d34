"""Route of identity tokens."""

from fastapi import APIRouter

from gridward.core.schemas.gateway import TokenIn, TokenOut
from gridward.gateway import identities
from gridward.gateway.state import GatewayOf
from gridward.server.state import Caller, WriteDb

router = APIRouter(prefix="/v1/tokens", tags=["tokens"])


@router.post("", status_code=201)
def issue_token(body: TokenIn, caller: Caller, gateway: GatewayOf, db: WriteDb) -> TokenOut:
    """Get a short-lived token that tells one node who is calling. It carries no right."""
    return identities.issue(gateway, db, caller, body.audience)
