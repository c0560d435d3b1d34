"""How commands sign in: address, user name and password as options or `GRIDWARD_…` variables."""

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


def server(url: str, username: str, password: str) -> "gw.NodeClient | gw.GatewayClient":
    """Sign in to whatever answers at the address."""
    try:
        return gw.connect(url, username=username, password=password)
    except gw.InvalidInputError:
        return gw.network(url, username=username, password=password)
