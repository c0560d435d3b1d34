"""Being a member of a gateway: joining by key, heartbeats, the catalogue, what the gateway attests."""

import hashlib

from pydantic import ValidationError
from sqlmodel import Session

from gridward.api import queries
from gridward.api.catalogue import catalogue
from gridward.api.node import Node
from gridward.api.parties.calls import Calls, Peer
from gridward.api.tables.memberships import Membership
from gridward.core.errors import ConflictError, NodeUnreachableError, NotSignedInError, ObjectNotFoundError
from gridward.core.identity import id_of, read_sign_key
from gridward.core.schemas.gateway import (
    GatewayOut,
    HeartbeatIn,
    HeartbeatOut,
    JoinIn,
    JoinOut,
    NodeState,
)
from gridward.core.schemas.node import MembershipState
from gridward.server import audit_heads, tokens


def join(node: Node, calls: Calls, gateway_url: str) -> Membership:
    """Ask the gateway at this URL to take the node in; pins the gateway's key at first sight.

    Idempotent. Raises `NodeUnreachableError`, `ConflictError` if another gateway of this name is known or if
    the key behind a known id is another one.
    """
    timeout_s = node.settings.peer_timeout_s
    about = ask_who(node, calls, gateway_url)
    peer = Peer(about.id, about.name, gateway_url)
    body = JoinIn(
        name=node.settings.name,
        url=node.settings.url(),
        sign_key=node.keys.sign_key_text,
        seal_key=node.keys.seal_key_text,
        offers_party=node.settings.offer_party,
        offers_provider=node.settings.offer_provider,
    )
    sent = body.model_dump_json().encode()
    answer = JoinOut.model_validate_json(calls.send(peer, "POST", "/v1/nodes", sent, timeout_s=timeout_s))
    with node.database.write() as db:
        return _pin(node, db, about, gateway_url, answer.state)


def ask_who(node: Node, calls: Calls, gateway_url: str) -> GatewayOut:
    """Return the public facts of the gateway at this URL, its id proven to be its key's."""
    peer = Peer("", gateway_url, gateway_url)
    raw = calls.send(peer, "GET", "/v1/gateway", timeout_s=node.settings.peer_timeout_s)
    try:
        about = GatewayOut.model_validate_json(raw)
    except ValidationError as why:
        raise NodeUnreachableError(f"there is no gateway at {gateway_url}") from why
    if id_of(about.sign_key) != about.id:
        raise ConflictError(f"the gateway at {gateway_url} shows a key that is not its id's")
    return about


def beat(node: Node, calls: Calls, gateway_id: str) -> float:
    """Send one heartbeat, and the catalogue if the gateway's copy is stale; returns seconds until the next.

    What the gateway says counts only as far as its attestation, signed by the pinned key, says so.
    """
    with node.database.read() as db:
        membership = db.get_one(Membership, gateway_id)
        entries = catalogue(db, node.clock())
    peer = Peer(gateway_id, membership.gateway_name, membership.gateway_url)
    try:
        answer = _heartbeat(node, calls, peer, entries)
    except ObjectNotFoundError:
        join(node, calls, membership.gateway_url)
        return 0.0
    state = _proven_state(node, membership, answer)
    with node.database.write() as db:
        row = db.get_one(Membership, gateway_id)
        row.state = state.value
        row.attestation = answer.attestation if state is MembershipState.JOINED else None
        row.last_heartbeat_at = node.clock()
        row.detail = ""
        db.add(row)
    if answer.witnessed is not None:
        audit_heads.learn(node.accounts, answer.witnessed)
    if answer.catalogue_wanted:  # after the state: whoever finds the node can be known to it
        path = f"/v1/nodes/{node.keys.id}/catalogue"
        calls.send(peer, "PUT", path, entries, timeout_s=node.settings.peer_timeout_s)
    return answer.next_s


def note_failure(node: Node, gateway_id: str, detail: str) -> None:
    """Keep why the last heartbeat failed, for the owner to see."""
    with node.database.write() as db:
        row = db.get(Membership, gateway_id)
        if row is not None:
            row.detail = detail[:500]
            db.add(row)


def _heartbeat(node: Node, calls: Calls, peer: Peer, entries: bytes) -> HeartbeatOut:
    body = HeartbeatIn(
        url=node.settings.url(),
        offers_party=node.settings.offer_party,
        offers_provider=node.settings.offer_provider,
        catalogue_digest=hashlib.sha256(entries).hexdigest(),
        audit=audit_heads.head(node.accounts),
    )
    raw = calls.send(
        peer,
        "POST",
        f"/v1/nodes/{node.keys.id}/heartbeats",
        body.model_dump_json().encode(),
        timeout_s=node.settings.peer_timeout_s,
    )
    return HeartbeatOut.model_validate_json(raw)


def _proven_state(node: Node, membership: Membership, answer: HeartbeatOut) -> MembershipState:
    if answer.state is NodeState.REFUSED:
        return MembershipState.REFUSED
    if answer.attestation is None:
        return MembershipState.PENDING
    claims = tokens.read(
        tokens.Kind.ATTESTATION,
        answer.attestation,
        read_sign_key(membership.sign_key),
        issuer=membership.gateway_id,
        audience=membership.gateway_id,
        now=node.clock(),
    )
    if claims["sub"] != node.keys.id or claims.get("sign_key") != node.keys.sign_key_text:
        raise NotSignedInError("the gateway attests another node")
    return MembershipState.JOINED


def _pin(node: Node, db: Session, about: GatewayOut, url: str, state: NodeState) -> Membership:
    for known in queries.memberships(db):
        if known.gateway_name == about.name and known.gateway_id != about.id:
            raise ConflictError(
                f"this node knows another gateway named '{about.name}'; its users' names would be the same"
            )
    row = db.get(Membership, about.id) or Membership(
        gateway_id=about.id,
        gateway_name=about.name,
        gateway_url=url,
        sign_key=about.sign_key,
        state=MembershipState.PENDING.value,
        created_at=node.clock(),
    )
    row.gateway_url = url
    if state is NodeState.REFUSED:
        row.state = MembershipState.REFUSED.value
    db.add(row)
    return row
