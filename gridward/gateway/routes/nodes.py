"""Routes of nodes: joining, the owner's word, heartbeats, catalogues, the directory."""

from importlib.metadata import version
from typing import Annotated

from fastapi import APIRouter, Path, Query

from gridward.core.schemas.gateway import (
    ApprovalIn,
    CatalogueIn,
    DirectoryNode,
    DirectoryOut,
    HeartbeatIn,
    HeartbeatOut,
    JoinIn,
    JoinOut,
    NodeState,
    WitnessedOut,
)
from gridward.core.schemas.node import NODE_ID_PATTERN, NODE_NAME_PATTERN
from gridward.gateway import catalogues, registry, witness
from gridward.gateway.inline import inlined
from gridward.gateway.state import GatewayOf, Signed, SigningNode, Viewer
from gridward.server.state import Address, Caller, RawBody, ReadDb, WriteDb

router = APIRouter(prefix="/v1/nodes", tags=["nodes"])

NodeId = Annotated[str, Path(pattern=NODE_ID_PATTERN, description="Fingerprint of the node's key.")]
NameOrId = Annotated[str, Path(pattern=NODE_NAME_PATTERN, description="A node's name or id.")]
_CATALOGUE = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": inlined(CatalogueIn)}}}
}


@router.post("", status_code=202)
def join(body: JoinIn, call: Signed, gateway: GatewayOf, address: Address) -> JoinOut:
    """Ask to join; signed by the node's key (`target`: POST /v1/nodes). Asking again changes nothing."""
    node = registry.join(gateway, call, body, address)
    return registry.answer_of(gateway, node, version("gridward"))


@router.get("")
def list_nodes(
    viewer: Viewer,
    gateway: GatewayOf,
    db: ReadDb,
    state: Annotated[NodeState | None, Query(description="Only nodes in this state.")] = None,
    offset: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> DirectoryOut:
    """List the grid's nodes, for users and members; those who approve nodes also see who asks to join."""
    return registry.list_nodes(gateway, db, viewer, state, offset, limit)


@router.get("/{name_or_id}")
def get_node(name_or_id: NameOrId, viewer: Viewer, gateway: GatewayOf, db: ReadDb) -> DirectoryNode:
    """Return one node, for users and members."""
    return registry.find(gateway, db, viewer, name_or_id)


@router.post("/{node_id}/approval")
def decide(
    node_id: NodeId, body: ApprovalIn, caller: Caller, gateway: GatewayOf, db: WriteDb
) -> DirectoryNode:
    """Take a node in under its owner's label, or refuse it; for those who approve nodes."""
    return registry.decide(gateway, db, caller, node_id, body)


@router.post("/{node_id}/heartbeats")
def hear(
    node_id: NodeId, body: HeartbeatIn, signer: SigningNode, gateway: GatewayOf, db: WriteDb
) -> HeartbeatOut:
    """Say that the node is alive; signed by its key. The answer carries a fresh attestation."""
    return registry.hear(gateway, db, signer, node_id, body)


@router.get("/{node_id}/audit-heads")
def list_witnessed(node_id: NodeId, viewer: Viewer, db: ReadDb) -> WitnessedOut:
    """List what the node signed of its audit log, day by day; for users and members."""
    return witness.list_heads(db, node_id)


@router.put("/{node_id}/catalogue", status_code=204, openapi_extra=_CATALOGUE)
def put_catalogue(node_id: NodeId, signer: SigningNode, body: RawBody, gateway: GatewayOf) -> None:
    """Replace everything of the node that may be found; signed by its key."""
    catalogues.replace(gateway, signer, node_id, body)
