"""`gridward role`: roles of a node or gateway."""

from typing import Annotated

import typer

from gridward.cli.output import say, table
from gridward.cli.session import Password, Url, Username, calls
from gridward.client.roles import Roles

app = typer.Typer(help="Roles: what accounts may do at all.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The role's name.")]
May = Annotated[list[str], typer.Option("--may", help="A capability such as publish; repeat it.")]
Description = Annotated[str, typer.Option(help="What it is for.")]


@app.command("list")
def list_roles(url: Url, username: Username, password: Password) -> None:
    """List all roles and what each may do."""
    with calls(url, username, password) as home:
        rows = [
            (
                role.name,
                "built in" if role.built_in else f"by {role.made_by}",
                "needed" if role.second_factor else "",
                ", ".join(role.capabilities),
            )
            for role in Roles(home).list()
        ]
    table(("role", "made", "second factor", "may"), rows, empty="no roles")


@app.command()
def make(
    name: Name,
    url: Url,
    username: Username,
    password: Password,
    may: May,
    description: Description = "",
    second_factor: Annotated[bool, typer.Option(help="Its accounts need one.")] = False,
) -> None:
    """Make a role of capabilities that you have."""
    with calls(url, username, password) as home:
        made = Roles(home).make(name, may, description=description, second_factor=second_factor)
    say(f"{made.name} may {', '.join(made.capabilities)}")


@app.command()
def change(name: Name, url: Url, username: Username, password: Password, may: May) -> None:
    """Change what a role may do, at once for all who hold it."""
    with calls(url, username, password) as home:
        made = Roles(home).change(name, capabilities=may)
    say(f"{made.name} may {', '.join(made.capabilities)}")


@app.command()
def delete(name: Name, url: Url, username: Username, password: Password) -> None:
    """Delete a role that nobody holds; rules that name it go with it."""
    with calls(url, username, password) as home:
        Roles(home).delete(name)
    say(f"{name} is gone")
