"""`gridward account` and `gridward accept`: one's own password, second factor and tokens for programs."""

import webbrowser
from typing import Annotated

import typer

from gridward.cli.output import say, table
from gridward.cli.session import Password, Url, Username, ask_code, calls, sign_in
from gridward.client.accounts import OwnAccount, ask_reset
from gridward.client.accounts import accept as accept_token
from gridward.client.browser_sign_in import open_session
from gridward.client.transport import Transport

app = typer.Typer(help="One's own account on a node or gateway.", no_args_is_help=True)


def accept(
    url: Url,
    token: Annotated[str, typer.Option(envvar="GRIDWARD_TOKEN", prompt="One-time token", hide_input=True)],
    new_password: Annotated[
        str,
        typer.Option(envvar="GRIDWARD_NEW_PASSWORD", prompt=True, hide_input=True, confirmation_prompt=True),
    ],
) -> None:
    """Set the password of one's account with a one-time token from an administrator."""
    server = Transport(url)
    try:
        user = accept_token(server, token, new_password)
    finally:
        server.close()
    say(f"{user.username} may sign in at {url}")


def login(
    url: Url,
    oidc: Annotated[
        bool, typer.Option("--oidc", help="Through the server's sign-in provider, in a browser.")
    ] = False,
    username: Annotated[str, typer.Option("--username", "-u", envvar="GRIDWARD_USERNAME")] = "",
    invitation: Annotated[
        str | None, typer.Option(envvar="GRIDWARD_TOKEN", help="One-time token that links the account.")
    ] = None,
) -> None:
    """Sign in and print a token of some minutes, for GRIDWARD_PASSWORD of the commands that follow."""
    server = Transport(url)
    try:
        if oidc:
            opened = open_session(server, _point_to, ask_code=ask_code, invitation=invitation)
            token = opened.access_token
        else:
            name = username or str(typer.prompt("User name", err=True))
            token = sign_in(server, name, str(typer.prompt("Password", hide_input=True, err=True))).token()
    finally:
        server.close()
    say(token)


def _point_to(address: str) -> None:
    typer.echo(f"Sign in with your browser: {address}", err=True)
    webbrowser.open(address)


@app.command("link")
def link_sign_in(url: Url, username: Username, password: Password) -> None:
    """Link one's account to a person at the server's sign-in provider."""
    with calls(url, username, password) as home:
        OwnAccount(home).link_sign_in(password, _point_to)
    say(f"{username} may sign in with: gridward login --oidc --url {url}")


def forgot(url: Url, username: Username) -> None:
    """Ask for a one-time token by e-mail, for `gridward accept`."""
    server = Transport(url)
    try:
        ask_reset(server, username)
    finally:
        server.close()
    say(f"If {username} has an e-mail address there, a one-time token is on its way; then:")
    say(f"  gridward accept --url {url}")


@app.command("mail")
def set_mail(
    url: Url,
    username: Username,
    password: Password,
    address: Annotated[str, typer.Option(help="E-mail address; empty for none.")],
    notices: Annotated[str, typer.Option(help="What comes there: all or none.")] = "all",
) -> None:
    """Set one's e-mail address."""
    with calls(url, username, password) as home:
        changed = OwnAccount(home).set_mail(address or None, password, mails=notices)
    say(f"{changed.username} has {changed.email or 'no e-mail address'}; notices: {changed.mails.value}")
    if changed.email and not changed.email_confirmed:
        say("Where that server sends mail, a code is on its way; then: gridward account confirm-mail")


@app.command("confirm-mail")
def confirm_mail(
    url: Url,
    username: Username,
    password: Password,
    code: Annotated[str, typer.Option(prompt="The code in the letter", help="Empty: send another.")] = "",
) -> None:
    """Confirm one's e-mail address with the code that was mailed there."""
    with calls(url, username, password) as home:
        account = OwnAccount(home)
        if not code:
            account.send_mail_code()
            say("Another code is on its way")
            return
        confirmed = account.confirm_mail(code)
    say(f"Letters go to {confirmed.email}")


@app.command("second-factor")
def second_factor(url: Url, username: Username, password: Password) -> None:
    """Set up a second factor: time-based codes of an authenticator app."""
    with calls(url, username, password) as home:
        account = OwnAccount(home)
        say("Give this address to your authenticator app (as text, or as a QR code):")
        say(f"  {account.begin_second_factor(password)}")
        codes = account.confirm_second_factor(typer.prompt("The code that it shows"))
    say("The second factor is on. Recovery codes, each for one sign-in without the device, shown only now:")
    for code in codes:
        say(f"  {code}")


@app.command("create-token")
def create_token(
    name: Annotated[str, typer.Argument(help="What it is for.")],
    url: Url,
    username: Username,
    password: Password,
    scope: Annotated[list[str], typer.Option(help="A capability that the token has, such as compute.")],
    days: Annotated[int, typer.Option(min=1, max=366, help="Lifetime.")] = 90,
) -> None:
    """Make a token for a program."""
    with calls(url, username, password) as home:
        made = OwnAccount(home).create_token(password, name, scope, days * 86_400)
    say(f"{made.token}")
    say(f"It is shown only now, and ends {made.expires_at:%Y-%m-%d %H:%M} UTC.")


@app.command("tokens")
def list_tokens(url: Url, username: Username, password: Password) -> None:
    """List one's tokens."""
    with calls(url, username, password) as home:
        rows = [
            (one.id, one.name, ", ".join(one.scopes), f"{one.expires_at:%Y-%m-%d %H:%M}")
            for one in OwnAccount(home).tokens()
        ]
    table(("token", "name", "scopes", "ends (UTC)"), rows, empty="no tokens")


@app.command("revoke-token")
def revoke_token(
    token: Annotated[str, typer.Argument(help="Its id.")], url: Url, username: Username, password: Password
) -> None:
    """End a token at once."""
    with calls(url, username, password) as home:
        OwnAccount(home).revoke_token(token)
    say(f"{token} is worth nothing now")
