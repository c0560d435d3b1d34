"""Nodes of a gateway, and its owner's word on them."""

from gridward.client.checks import checked
from gridward.client.paging import collected
from gridward.client.place import segment
from gridward.client.transport import Transport
from gridward.core.audit import check_head
from gridward.core.schemas.audit import AuditHead
from gridward.core.schemas.gateway import ApprovalIn, DirectoryNode, DirectoryOut, WitnessedOut


def nodes(gateway: Transport) -> list[DirectoryNode]:
    """All nodes, live or away; for the gateway's owner also those that ask to join."""
    return collected(lambda page: gateway.fetch(DirectoryOut, "GET", "/v1/nodes", params=page))


def witnessed(gateway: Transport, name: str) -> list[AuditHead]:
    """What the node signed of its audit log day by day, as the gateway kept it; signatures are checked."""
    path = f"/v1/nodes/{find(gateway, name).id}/audit-heads"
    heads = gateway.fetch(WitnessedOut, "GET", path).items
    for head in heads:
        check_head(head)
    return heads


def find(gateway: Transport, name: str) -> DirectoryNode:
    """One node, by name or id; raises ``ObjectNotFoundError``."""
    return gateway.fetch(DirectoryNode, "GET", f"/v1/nodes/{segment(name)}")


def decide(
    gateway: Transport, name: str, *, approved: bool, owner: str, takes_over: bool = False
) -> DirectoryNode:
    """Say as the gateway's owner whether a node is in, and who owns it."""
    with checked():
        body = ApprovalIn(approved=approved, owner=owner, takes_over=takes_over)
    return gateway.fetch(DirectoryNode, "POST", f"/v1/nodes/{find(gateway, name).id}/approval", body=body)
