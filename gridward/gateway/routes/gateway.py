"""What a gateway says of itself."""

from importlib.metadata import version

from fastapi import APIRouter

from gridward.core.schemas.gateway import GatewayOut
from gridward.gateway import registry
from gridward.gateway.state import GatewayOf

router = APIRouter(prefix="/v1", tags=["gateway"])


@router.get("/gateway")
def get_gateway(gateway: GatewayOf) -> GatewayOut:
    """Say who this gateway is; its id is the fingerprint of its key."""
    return registry.about(gateway, version("gridward"))
