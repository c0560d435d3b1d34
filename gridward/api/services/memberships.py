"""The owner's view of the gateways that this node joined."""

from gridward.api import membership, queries
from gridward.api.hearts import Hearts
from gridward.api.node import Node
from gridward.api.tables.accounts import AuditEntry
from gridward.api.tables.memberships import Membership
from gridward.core.schemas.node import MembershipIn, MembershipOut, MembershipsOut, MembershipState
from gridward.server import audit
from gridward.server.principals import Capability, Principal


def join(node: Node, hearts: Hearts, caller: Principal, body: MembershipIn) -> MembershipOut:
    """Ask a gateway to take this node in; its owner decides. From then on the node sends heartbeats."""
    caller.require(Capability.MANAGE_SERVER)
    row = membership.join(node, hearts.calls, body.gateway_url.rstrip("/"))
    with node.database.write() as db:
        audit.record(
            db, AuditEntry, caller, node.clock(), "join_gateway", row.gateway_id, reason=row.gateway_url
        )
    hearts.start(row.gateway_url)
    return _describe(row)


def list_all(node: Node, caller: Principal) -> MembershipsOut:
    """List the gateways that this node joined or asked to join."""
    caller.require(Capability.MANAGE_SERVER)
    with node.database.read() as db:
        return MembershipsOut(items=[_describe(row) for row in queries.memberships(db)])


def _describe(row: Membership) -> MembershipOut:
    return MembershipOut(
        gateway_id=row.gateway_id,
        gateway_name=row.gateway_name,
        gateway_url=row.gateway_url,
        state=MembershipState(row.state),
        last_heartbeat_at=row.last_heartbeat_at,
        detail=row.detail,
    )
