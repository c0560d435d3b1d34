"""Finding the holders of a deployment's roles in the gateway's directory, each with the gateway's word."""

from pydantic import ValidationError

from gridward.api.parties.calls import Calls, Peer
from gridward.api.tables.memberships import Membership
from gridward.core.errors import DeploymentRefusedError, NodeUnreachableError
from gridward.core.schemas.deployments import DeploymentIn, RoleHolder
from gridward.core.schemas.gateway import DirectoryNode, MatchIn, MatchOut, NodeState
from gridward.server.keys import Keys


def gateway_peer(membership: Membership) -> Peer:
    """The gateway as a receiver of signed calls."""
    return Peer(membership.gateway_id, f"gateway {membership.gateway_name}", membership.gateway_url)


def find_node(calls: Calls, gateway: Peer, name: str, timeout_s: float) -> DirectoryNode:
    """Look a node up by name or id."""
    answer = calls.send(gateway, "GET", f"/v1/nodes/{name}", timeout_s=timeout_s)
    try:
        return DirectoryNode.model_validate_json(answer)
    except ValidationError as why:
        raise NodeUnreachableError(f"{gateway.name} answered with something that is not a node") from why


def holder_of(entry: DirectoryNode) -> RoleHolder:
    """Turn a directory entry into a role holder; the node must be live and attested."""
    if entry.state is not NodeState.LIVE or entry.attestation is None:
        raise DeploymentRefusedError(
            f"{entry.name} is {entry.state.value}, not live; start it or choose another node"
        )
    return RoleHolder(
        node_id=entry.id,
        name=entry.name,
        url=entry.url,
        owner=entry.owner,
        sign_key=entry.sign_key,
        seal_key=entry.seal_key,
        attestation=entry.attestation,
    )


def find_holders(
    calls: Calls, membership: Membership, keys: Keys, wish: DeploymentIn, timeout_s: float
) -> tuple[RoleHolder, list[RoleHolder], RoleHolder]:
    """Find host (this node), parties and provider; the gateway chooses those that the wish leaves open.

    A wish names all parties or none. Raises ``DeploymentRefusedError`` or the gateway's refusal.
    """
    if len(wish.parties) == 1:
        raise DeploymentRefusedError("one party would hold the whole model; name 2 to 5, or none")
    gateway = gateway_peer(membership)
    host = holder_of(find_node(calls, gateway, keys.id, timeout_s))
    parties = [holder_of(find_node(calls, gateway, name, timeout_s)) for name in wish.parties]
    provider = wish.crypto_provider and holder_of(find_node(calls, gateway, wish.crypto_provider, timeout_s))
    if not parties or not provider:
        body = MatchIn(host=keys.id, parties=len(parties) or wish.party_count).model_dump_json().encode()
        match = MatchOut.model_validate_json(
            calls.send(gateway, "POST", "/v1/matchmaking", body, timeout_s=timeout_s)
        )
        parties = parties or [holder_of(entry) for entry in match.parties]
        provider = provider or holder_of(match.crypto_provider)
    return host, parties, provider
