"""The demo's cast: a gateway, four nodes under four owners, and a data scientist."""

import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeVar

import gridward as gw
from gridward.client.gateway import GatewayClient
from gridward.client.node import NodeClient
from gridward.core.errors import NodeUnreachableError, ObjectNotFoundError
from gridward.core.schemas.gateway import NodeState
from gridward.demo.processes import Server, Servers

JOIN_S: Final = 30.0
FIND_S: Final = 15.0

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Cast:
    """A node of the demo: its name, its owner's user name, who owns it, the roles it offers."""

    node: str
    owner: str
    institution: str
    party: bool = False
    provider: bool = False


NODES: Final = (
    Cast("hospital", "bob", "St. Mary Hospital", party=True),
    Cast("public", "petra", "Office of Statistics", party=True),
    Cast("company", "carol", "Diagnosis Ltd"),
    Cast("university", "ursula", "University of Gridford", provider=True),
)


@dataclass(frozen=True, slots=True)
class DemoGrid:
    """Signed-in views: every owner at their node, the scientist at the gateway."""

    owners: dict[str, NodeClient]
    scientist: GatewayClient

    def close(self) -> None:
        """Close all connections."""
        self.scientist.close()
        for owner in self.owners.values():
            owner.close()


def build(servers: Servers) -> DemoGrid:
    """Start everything, claim it with the one-time tokens, join and approve nodes, admit the scientist."""
    gateway = servers.spawn("gateway", "grid", heartbeat_s=1, away_after_s=5)
    nodes = [
        servers.spawn(
            "node",
            cast.node,
            offer_party=cast.party,
            offer_provider=cast.provider,
            **({"lane_port": 0} if cast.party else {}),
        )
        for cast in NODES
    ]
    for server in servers.all:
        server.wait()
    head_password, dana_password = password(), password()
    gw.setup_owner(gateway.url, gateway.token, "greta", head_password)
    with gw.network(gateway.url, username="greta", password=head_password) as head:
        head.users.add("dana", dana_password)
        owners = {
            cast.node: _join(server, cast, gateway.url, head)
            for server, cast in zip(nodes, NODES, strict=True)
        }
        _wait_until_live(head)
    return DemoGrid(owners, gw.network(gateway.url, username="dana", password=dana_password))


def await_found(attempt: Callable[[], Found | None], what: str) -> Found:
    """Repeat a look-up until it finds something: the gateway learns of new things a moment after their node.

    Empty results and ``ObjectNotFoundError`` count as not found. Raises ``ObjectNotFoundError`` in the end.
    """
    deadline = time.monotonic() + FIND_S
    while time.monotonic() < deadline:
        with suppress(ObjectNotFoundError):
            if found := attempt():
                return found
        time.sleep(0.1)
    raise ObjectNotFoundError(f"the gateway did not learn of {what} within {FIND_S:.0f} s")


def password() -> str:
    """Make a password that nobody has to remember."""
    return secrets.token_urlsafe(18)


def _join(server: Server, cast: Cast, gateway_url: str, head: GatewayClient) -> NodeClient:
    secret = password()
    gw.setup_owner(server.url, server.token, cast.owner, secret)
    node = gw.connect(server.url, username=cast.owner, password=secret)
    node.join(gateway_url)
    head.approve(cast.node, owner=cast.institution)
    node.admit("dana@grid", role="data_scientist")
    return node


def _wait_until_live(head: GatewayClient) -> None:
    deadline = time.monotonic() + JOIN_S
    while time.monotonic() < deadline:
        if all(node.state is NodeState.LIVE for node in head.nodes()):
            return
        time.sleep(0.1)
    raise NodeUnreachableError(f"not all nodes joined the gateway within {JOIN_S:.0f} s")
