"""`gridward directory`: nodes of a gateway, and its owner's word on them."""

from typing import Annotated

import typer

from gridward.cli.output import say, table
from gridward.cli.session import Password, Url, Username, calls
from gridward.client import directory

app = typer.Typer(help="Nodes of a gateway.", no_args_is_help=True)
Node = Annotated[str, typer.Argument(help="The node's name or id.")]


@app.command("list")
def list_nodes(url: Url, username: Username, password: Password) -> None:
    """List the nodes of the grid; for its owner also those that ask to join."""
    with calls(url, username, password) as gateway:
        rows = [(one.name, one.state.value, one.owner, one.url, one.id) for one in directory.nodes(gateway)]
    table(("node", "state", "owner", "address", "id"), rows, empty="no nodes")


@app.command("audit-heads")
def audit_heads(node: Node, url: Url, username: Username, password: Password) -> None:
    """Print what a node signed of its audit log, a line each: for `gridward audit verify --head`."""
    with calls(url, username, password) as gateway:
        for head in directory.witnessed(gateway, node):
            say(head.model_dump_json())


@app.command()
def approve(
    node: Node,
    owner: Annotated[str, typer.Option(help="Who owns the node; one owner never fills two roles.")],
    url: Url,
    username: Username,
    password: Password,
    takes_over: Annotated[
        bool, typer.Option("--takes-over", help="It takes the place of a node that left and had its name.")
    ] = False,
) -> None:
    """Take a node in."""
    with calls(url, username, password) as gateway:
        taken = directory.decide(gateway, node, approved=True, owner=owner, takes_over=takes_over)
    say(f"{taken.name} is {taken.state.value}, owned by {taken.owner}")


@app.command()
def refuse(node: Node, url: Url, username: Username, password: Password) -> None:
    """Refuse a node, or turn one out."""
    with calls(url, username, password) as gateway:
        turned = directory.decide(gateway, node, approved=False, owner="unknown")
    say(f"{turned.name} is {turned.state.value}")
