"""The node as a crypto provider: it deals randomness, and never sees a share or an opened value."""

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import StreamingResponse

from gridward.api.node import NodeOf
from gridward.api.services import provider
from gridward.core.schemas.bundles import BundlesHad, BundlesIn
from gridward.core.schemas.deployments import Acceptance, DeploymentDocument, SealedOut
from gridward.server.state import BearerToken, RawBody

router = APIRouter(prefix="/v1/provider/deployments/{deployment_id}", tags=["provider"])

DeploymentPath = Annotated[str, Path(pattern=r"^[a-z0-9]{16,32}$")]
OCTETS = "application/octet-stream"


@router.put("")
def accept_provider(
    deployment_id: DeploymentPath,
    document: DeploymentDocument,
    node: NodeOf,
    token: BearerToken,
    raw: RawBody,
) -> Acceptance:
    """Take the role of crypto provider. Signed by the host; refused unless this node's owner offers it."""
    return provider.accept(node, token, raw, deployment_id, document)


@router.delete("", status_code=204)
def withdraw_provider(deployment_id: DeploymentPath, node: NodeOf, token: BearerToken) -> None:
    """End the role and wipe its secrets. Signed by the host."""
    provider.withdraw(node, token, deployment_id)


@router.post("/setup")
def deal_setup(deployment_id: DeploymentPath, node: NodeOf, token: BearerToken) -> SealedOut:
    """Give the signing party its packet of the set-up, sealed to it."""
    return provider.deal_setup(node, token, deployment_id)


@router.post(
    "/bundles",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Pieces one after another: serial (16 bytes), bytes of the packet (8) and number "
            "of the piece (4), little-endian; then the piece, sealed.",
            "content": {OCTETS: {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
def deal_bundles(
    deployment_id: DeploymentPath, body: BundlesIn, node: NodeOf, token: BearerToken, raw: RawBody
) -> StreamingResponse:
    """Give the signing party its packets of some bundles, sealed to it; dealt when first asked for."""
    return StreamingResponse(provider.deal_bundles(node, token, raw, deployment_id, body), media_type=OCTETS)


@router.post("/bundles/confirmation", status_code=204)
def confirm_bundles(
    deployment_id: DeploymentPath, body: BundlesHad, node: NodeOf, token: BearerToken, raw: RawBody
) -> None:
    """The signing party has stored its packets: wipe the provider's copies."""
    provider.confirm_bundles(node, token, raw, deployment_id, body)
