"""`gridward membership`: which gateways a node belongs to."""

from typing import Annotated

import typer

from gridward.cli.output import say, table
from gridward.cli.session import Password, Url, Username, calls
from gridward.client import memberships

app = typer.Typer(help="Gateways that a node belongs to.", no_args_is_help=True)


@app.command("list")
def list_memberships(url: Url, username: Username, password: Password) -> None:
    """List the gateways that this node asked or joined."""
    with calls(url, username, password) as home:
        rows = [
            (one.gateway_name, one.gateway_url, one.state.value, one.detail)
            for one in memberships.listed(home)
        ]
    table(("gateway", "address", "state", "remark"), rows, empty="no memberships")


@app.command()
def join(
    gateway_url: Annotated[str, typer.Argument(help="Address of the gateway.")],
    url: Url,
    username: Username,
    password: Password,
) -> None:
    """Ask a gateway to take this node in; its owner has to approve."""
    with calls(url, username, password) as home:
        asked = memberships.join(home, gateway_url)
    say(f"{asked.gateway_name}: {asked.state.value}")
