"""How commands sign in: address, user name and password as options or `GRIDWARD_…` variables."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, TypeAlias

import typer

import gridward as gw

Url: TypeAlias = Annotated[
    str,
    typer.Option("--url", envvar="GRIDWARD_URL", help="Address of the node or gateway.", show_envvar=True),
]
Username: TypeAlias = Annotated[
    str, typer.Option("--username", "-u", envvar="GRIDWARD_USERNAME", help="Your account there.")
]
Password: TypeAlias = Annotated[
    str,
    typer.Option(
        "--password", envvar="GRIDWARD_PASSWORD", prompt=True, hide_input=True, help="Asked for if not given."
    ),
]


@contextmanager
def node(url: str, username: str, password: str) -> "Iterator[gw.NodeClient]":
    """Be signed in to a node for one command."""
    client = gw.connect(url, username=username, password=password)
    try:
        yield client
    finally:
        client.sign_out()


@contextmanager
def grid(url: str, username: str, password: str) -> "Iterator[gw.GatewayClient]":
    """Be signed in to a gateway for one command."""
    client = gw.network(url, username=username, password=password)
    try:
        yield client
    finally:
        client.sign_out()


@contextmanager
def server(url: str, username: str, password: str) -> "Iterator[gw.NodeClient | gw.GatewayClient]":
    """Be signed in to whatever answers at the address, for one command."""
    client: gw.NodeClient | gw.GatewayClient
    try:
        client = gw.connect(url, username=username, password=password)
    except gw.InvalidInputError:
        client = gw.network(url, username=username, password=password)
    try:
        yield client
    finally:
        client.sign_out()
