"""`gridward group`: groups of a node, for its rules."""

from typing import Annotated

import typer

from gridward.cli.output import say, table
from gridward.cli.session import Password, Url, Username, calls
from gridward.client.groups import Groups

app = typer.Typer(help="Groups of accounts, for rules of datasets and models.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The group's name; rules name it as group:NAME.")]
Members = Annotated[list[str] | None, typer.Argument(help="Accounts, or identities such as dana@grid.")]


@app.command("list")
def list_groups(url: Url, username: Username, password: Password) -> None:
    """List all groups."""
    with calls(url, username, password) as home:
        rows = [
            (one.name, str(one.size), str(one.rules), ", ".join(one.members or ()), one.description)
            for one in Groups(home).list()
        ]
    table(("group", "members", "rules", "who", "description"), rows, empty="no groups")


@app.command()
def make(
    name: Name,
    url: Url,
    username: Username,
    password: Password,
    members: Members = None,
    description: Annotated[str, typer.Option(help="Who they are.")] = "",
) -> None:
    """Make a group."""
    with calls(url, username, password) as home:
        made = Groups(home).make(name, members or (), description=description)
    say(f"{made.name} has {made.size} members")


@app.command()
def add(name: Name, members: Members, url: Url, username: Username, password: Password) -> None:
    """Add members; they have at once what its rules give."""
    with calls(url, username, password) as home:
        changed = Groups(home).change(name, add=members or ())
    say(f"{changed.name} has {changed.size} members")


@app.command()
def drop(name: Name, members: Members, url: Url, username: Username, password: Password) -> None:
    """Take members out; what its rules gave them is gone at once."""
    with calls(url, username, password) as home:
        changed = Groups(home).change(name, remove=members or ())
    say(f"{changed.name} has {changed.size} members")


@app.command()
def delete(name: Name, url: Url, username: Username, password: Password) -> None:
    """Delete a group and every rule that names it."""
    with calls(url, username, password) as home:
        Groups(home).delete(name)
    say(f"{name} is gone, and the rules that named it")
