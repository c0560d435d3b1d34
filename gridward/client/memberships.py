"""Gateways that a node belongs to, for its owner."""

from gridward.client.checks import checked
from gridward.client.transport import Transport
from gridward.core.schemas.node import MembershipIn, MembershipOut, MembershipsOut


def join(node: Transport, gateway_url: str) -> MembershipOut:
    """Ask a gateway to take the node in; its owner has to approve."""
    with checked():
        body = MembershipIn(gateway_url=gateway_url)
    return node.fetch(MembershipOut, "POST", "/v1/memberships", body=body)


def listed(node: Transport) -> list[MembershipOut]:
    """Which gateways the node asked or joined, and how that stands."""
    return node.fetch(MembershipsOut, "GET", "/v1/memberships").items
