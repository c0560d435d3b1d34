"""`gridward user`: accounts of a node or gateway."""

from typing import Annotated

import typer

from gridward.cli.output import say, table
from gridward.cli.session import Password, Url, Username, calls
from gridward.client.accounts import Accounts
from gridward.core.schemas.accounts import InvitationOut

app = typer.Typer(help="Accounts of a node or gateway.", no_args_is_help=True)
Who = Annotated[str, typer.Argument(help="User name; `dana@grid` for an identity of a gateway.")]
Role = Annotated[
    str,
    typer.Option(
        help="owner, admin, data_officer, compliance_officer, data_scientist, guest or one made here."
    ),
]


@app.command("list")
def list_users(url: Url, username: Username, password: Password) -> None:
    """List accounts."""
    with calls(url, username, password) as home:
        rows = [
            (user.username, user.role, "disabled" if user.disabled else "active")
            for user in Accounts(home).list()
        ]
    table(("user", "role", "state"), rows, empty="no accounts")


@app.command()
def add(
    who: Who,
    url: Url,
    username: Username,
    password: Password,
    new_password: Annotated[
        str,
        typer.Option(
            envvar="GRIDWARD_NEW_PASSWORD",
            prompt="Password of the new account",
            hide_input=True,
            confirmation_prompt=True,
        ),
    ],
    role: Role = "data_scientist",
) -> None:
    """Make an account."""
    with calls(url, username, password) as home:
        made = Accounts(home).add(who, new_password, role)
    say(f"{made.username} is a {made.role} here")


@app.command()
def invite(
    who: Who,
    url: Url,
    username: Username,
    password: Password,
    role: Role = "data_scientist",
    email: Annotated[str | None, typer.Option(help="Where the one-time token goes too.")] = None,
) -> None:
    """Make an account whose password the person sets."""
    with calls(url, username, password) as home:
        made = Accounts(home).invite(who, role, email=email)
    _tell(who, url, made)


@app.command()
def reset(who: Who, url: Url, username: Username, password: Password) -> None:
    """Let somebody who lost the password set another."""
    with calls(url, username, password) as home:
        made = Accounts(home).reset(who)
    _tell(who, url, made)


def _tell(who: str, url: str, made: InvitationOut) -> None:
    say(f"One-time token for {who}, until {made.expires_at:%Y-%m-%d %H:%M} UTC: {made.token}")
    if made.mailed:
        say("It was sent by e-mail too.")
    say(f"It is shown only now. What {who} does with it:")
    say(f"  gridward accept --url {url}")


@app.command("sessions")
def list_sessions(who: Who, url: Url, username: Username, password: Password) -> None:
    """Show where somebody is signed in."""
    with calls(url, username, password) as home:
        rows = [
            (one.session_id, f"{one.created_at:%Y-%m-%d %H:%M}", f"{one.last_seen_at:%Y-%m-%d %H:%M}")
            for one in Accounts(home).sessions(who)
        ]
    table(("session", "since (UTC)", "refreshed"), rows, empty="no sessions")


@app.command("sign-out")
def sign_out(who: Who, url: Url, username: Username, password: Password) -> None:
    """End somebody's sessions."""
    with calls(url, username, password) as home:
        Accounts(home).end_sessions(who)
    say(f"{who} is signed out everywhere")


@app.command("remove-second-factor")
def remove_second_factor(who: Who, url: Url, username: Username, password: Password) -> None:
    """Help somebody who lost the device."""
    with calls(url, username, password) as home:
        Accounts(home).remove_second_factor(who)
    say(f"{who} signs in with the password alone")


@app.command()
def admit(who: Who, url: Url, username: Username, password: Password, role: Role = "data_scientist") -> None:
    """Give an identity of a gateway a role on this node."""
    with calls(url, username, password) as home:
        made = Accounts(home).admit(who, role)
    say(f"{made.username} is a {made.role} here")


@app.command()
def role(
    who: Who,
    new_role: Annotated[str, typer.Argument(help="The role to give.")],
    url: Url,
    username: Username,
    password: Password,
) -> None:
    """Change a role."""
    with calls(url, username, password) as home:
        changed = Accounts(home).set_role(who, new_role)
    say(f"{changed.username} is a {changed.role} here")


@app.command("email")
def set_email(
    who: Who,
    address: Annotated[str, typer.Argument(help="The address; empty for none.")],
    url: Url,
    username: Username,
    password: Password,
) -> None:
    """Change somebody's e-mail address."""
    with calls(url, username, password) as home:
        changed = Accounts(home).set_email(who, address or None)
    say(f"{changed.username} has {changed.email or 'no e-mail address'}")


@app.command("link")
def link_sign_in(
    who: Who,
    subject: Annotated[str, typer.Argument(help="The provider's `sub` of the person; empty for nobody.")],
    url: Url,
    username: Username,
    password: Password,
) -> None:
    """Let a person at the sign-in provider into an account."""
    with calls(url, username, password) as home:
        if subject:
            Accounts(home).link_sign_in(who, subject)
        else:
            Accounts(home).unlink_sign_in(who)
    say(f"{who} signs in {'through the provider' if subject else 'with the password alone'}")


@app.command()
def disable(who: Who, url: Url, username: Username, password: Password) -> None:
    """Lock an account; its sessions end at once."""
    with calls(url, username, password) as home:
        Accounts(home).disable(who)
    say(f"{who} is locked")


@app.command()
def enable(who: Who, url: Url, username: Username, password: Password) -> None:
    """Unlock an account."""
    with calls(url, username, password) as home:
        Accounts(home).enable(who)
    say(f"{who} is unlocked")
