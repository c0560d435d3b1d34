"""How far the other parties are, and how fast the provider delivers: what rounds and bundles will cost."""

import socket
import threading
import time
from typing import Final

import httpx2

from gridward.api import queries
from gridward.api.node import Node
from gridward.api.parties import records
from gridward.api.parties.documents import check_attestations
from gridward.core.errors import DeploymentRefusedError, NodeUnreachableError
from gridward.core.identity import read_sign_key
from gridward.core.schemas.deployments import RoleHolder
from gridward.core.schemas.probes import ProbeIn, ProbeOut

PROBE_PATH: Final = "/v1/parties/probe"
CONNECTIONS: Final = 5
CONNECT_S: Final = 2.0
PAGE_S: Final = 3 * CONNECT_S
PAYLOAD_PATH: Final = "/openapi.json"
"""Public at every node, and long enough to tell a rate by."""
PAYLOAD_BYTES: Final = 1 << 22


def probe(node: Node, token: str, raw: bytes, body: ProbeIn) -> ProbeOut:
    """Measure for a host, towards attested nodes only.

    Raises ``DeploymentRefusedError`` where this node takes no part or a holder is not attested,
    ``NodeUnreachableError`` naming a node that does not answer.
    """
    records.verify_signer(node, token, raw, f"POST {PROBE_PATH}", body.host)
    if not node.settings.offer_party:
        raise DeploymentRefusedError(f"{node.settings.name}'s owner does not offer to be a party")
    with node.database.read() as db:
        membership = queries.joined_membership(db, body.gateway_id)
    if membership is None:
        raise DeploymentRefusedError(
            f"{node.settings.name} did not join the gateway that vouches for the roles"
        )
    holders = [("host", body.host), ("crypto provider", body.crypto_provider)]
    holders += [(f"party {position}", holder) for position, holder in enumerate(body.parties)]
    check_attestations(body.gateway_id, holders, read_sign_key(membership.sign_key), node.clock())
    others = [holder for holder in body.parties if holder.node_id != node.keys.id]
    if len(others) != len(body.parties) - 1:
        raise DeploymentRefusedError(f"{node.settings.name} is not one of these parties")
    with httpx2.Client(trust_env=False) as client:
        rate = delivered_per_s(client, body.crypto_provider)
    return ProbeOut(round_trip_s=max(round_trip_s(holder) for holder in others), provider_bytes_per_s=rate)


def round_trip_s(holder: RoleHolder) -> float:
    """Give the least time that opening a connection took: one round trip of the network."""
    url = httpx2.URL(holder.url)
    address = url.host, url.port or (443 if url.scheme == "https" else 80)
    times = []
    for _ in range(CONNECTIONS):
        began = time.perf_counter()
        try:
            socket.create_connection(address, CONNECT_S).close()
        except OSError as why:
            raise NodeUnreachableError(f"{holder.name} does not answer at {holder.url}") from why
        times.append(time.perf_counter() - began)
    return min(times)


def delivered_per_s(client: httpx2.Client, holder: RoleHolder) -> float:
    """Give the rate at which a public page came, the first byte's delay apart.

    Each read has a deadline of its own, so the client is closed where a head comes a byte at a time.
    """
    count = 0
    cut = threading.Timer(PAGE_S, client.close)
    cut.daemon = True
    cut.start()
    try:
        with client.stream("GET", holder.url.rstrip("/") + PAYLOAD_PATH, timeout=CONNECT_S) as answer:
            began = time.perf_counter()
            for piece in answer.iter_raw():
                count += len(piece)
                if count > PAYLOAD_BYTES or time.perf_counter() - began > CONNECT_S:
                    break
    except (httpx2.HTTPError, OSError) as why:
        raise NodeUnreachableError(f"{holder.name} does not answer at {holder.url}") from why
    finally:
        cut.cancel()
    if count == 0:
        raise NodeUnreachableError(f"{holder.name} sent nothing")
    return count / max(time.perf_counter() - began, 1e-6)
