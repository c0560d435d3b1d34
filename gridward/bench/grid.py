"""A grid of node processes for one measurement: a gateway, nodes that joined it, a data scientist."""

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

import gridward as gw
from gridward.bench.namespaces import Place, namespaces
from gridward.bench.shaping import Conditions
from gridward.client.gateway import GatewayClient
from gridward.client.node import NodeClient
from gridward.core.errors import NodeUnreachableError
from gridward.core.schemas.gateway import NodeState
from gridward.demo.processes import Server, Servers

SCIENTIST: Final = "dana"
GATEWAY: Final = "grid"
WAIT_S: Final = 60.0
Settings = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class RunningGrid:
    """Processes by node name, their owners' views, and the scientist's view."""

    servers: Mapping[str, Server]
    owners: Mapping[str, NodeClient]
    scientist: GatewayClient
    gateway_url: str
    password: str
    """The scientist's, for another process that asks under the same name."""


@contextmanager
def running_grid(
    nodes: Mapping[str, Settings], conditions: Conditions | None = None
) -> Iterator[RunningGrid]:
    """Start a gateway and nodes with these settings, each under its own owner; all end with the block.

    Under ``conditions`` each has a network namespace of its own, and every packet takes its time.
    """
    with ExitStack() as stack:
        places: Mapping[str, Place] = {}
        if conditions is not None:
            places = stack.enter_context(namespaces([GATEWAY, *nodes], conditions))
        hosts: dict[str, Settings] = {name: {"host": place.host} for name, place in places.items()}
        servers = stack.enter_context(Servers({name: place.prefix for name, place in places.items()}))
        beating: Settings = {"heartbeat_s": 1, "away_after_s": 10}
        gateway = servers.spawn("gateway", GATEWAY, **beating, **hosts.get(GATEWAY, {}))
        processes = {
            name: servers.spawn("node", name, **settings, **hosts.get(name, {}))
            for name, settings in nodes.items()
        }
        for server in servers.all:
            server.wait()
        head = stack.enter_context(_sign_in_to_gateway(gateway))
        owners = {
            name: stack.enter_context(_join(server, gateway.url, head)) for name, server in processes.items()
        }
        wait_until(
            lambda: all(node.state is NodeState.LIVE for node in head.nodes()),
            "all nodes to join the gateway",
        )
        password = secrets.token_urlsafe(18)
        head.users.add(SCIENTIST, password)
        scientist = stack.enter_context(gw.network(gateway.url, username=SCIENTIST, password=password))
        yield RunningGrid(processes, owners, scientist, gateway.url, password)


@contextmanager
def running_node(**settings: object) -> Iterator[NodeClient]:
    """Start one node of no gateway; gives its owner's view."""
    with Servers() as servers:
        server = servers.spawn("node", "node", **settings)
        server.wait()
        with _own(server) as owner:
            yield owner


@contextmanager
def running_gateway(**settings: object) -> Iterator[GatewayClient]:
    """Start one gateway without nodes; gives its owner's view."""
    with Servers() as servers:
        server = servers.spawn("gateway", "grid", **settings)
        server.wait()
        with _sign_in_to_gateway(server) as head:
            yield head


def wait_until(holds: Callable[[], bool], what: str) -> None:
    """Look again and again until it holds; raises ``NodeUnreachableError`` after a minute."""
    deadline = time.monotonic() + WAIT_S
    while not holds():
        if time.monotonic() > deadline:
            raise NodeUnreachableError(f"waited {WAIT_S:.0f} s for {what}")
        time.sleep(0.1)


def _join(server: Server, gateway_url: str, head: GatewayClient) -> NodeClient:
    owner = _own(server)
    owner.join(gateway_url)
    head.approve(server.name, owner=f"owner of {server.name}")
    owner.admit(f"{SCIENTIST}@{GATEWAY}", role="data_scientist")
    return owner


def _own(server: Server) -> NodeClient:
    password = secrets.token_urlsafe(18)
    gw.setup_owner(server.url, server.token, "owner", password)
    return gw.connect(server.url, username="owner", password=password)


def _sign_in_to_gateway(server: Server) -> GatewayClient:
    password = secrets.token_urlsafe(18)
    gw.setup_owner(server.url, server.token, "head", password)
    return gw.network(server.url, username="head", password=password)
