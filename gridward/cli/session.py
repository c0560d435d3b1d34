"""How commands sign in: address, user name and password as options or `GRIDWARD_…` variables."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final, TypeAlias

import typer

import gridward as gw
from gridward.client.credentials import PasswordSession, ServiceToken
from gridward.client.transport import Transport
from gridward.core.schemas.accounts import PROGRAMS

_SESSIONS: Final = "eyJ"
"""What access tokens of sessions begin with, as every JSON Web Token."""
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
        "--password",
        envvar="GRIDWARD_PASSWORD",
        prompt=True,
        hide_input=True,
        help="Better left out: it is asked for. For programs: a service token, or what `login` printed.",
    ),
]


@contextmanager
def node(url: str, username: str, password: str) -> "Iterator[gw.NodeClient]":
    """Be signed in to a node for one command that handles data or models."""
    client = _connect(url, username, password)
    try:
        yield client
    finally:
        client.sign_out()


@contextmanager
def calls(url: str, username: str, password: str) -> Iterator[Transport]:
    """Be signed in to whatever answers at the address, for a command that needs no torch: quick to start."""
    anonymous = Transport(url)
    try:
        session = sign_in(anonymous, username, password)
        try:
            yield anonymous.with_credentials(session)
        finally:
            session.close()
    finally:
        anonymous.close()


def _connect(url: str, username: str, password: str) -> "gw.NodeClient":
    if password.startswith((PROGRAMS, _SESSIONS)):
        return gw.connect(url, token=password)
    try:
        return gw.connect(url, username, password)
    except gw.SecondFactorRequiredError:
        return gw.connect(url, username, password, code=ask_code())


def sign_in(anonymous: Transport, username: str, password: str) -> "PasswordSession | ServiceToken":
    """Open a session, or take a token that was given instead of a password."""
    if password.startswith((PROGRAMS, _SESSIONS)):
        return ServiceToken(password)
    try:
        return PasswordSession.open(anonymous, username, password)
    except gw.SecondFactorRequiredError:
        return PasswordSession.open(anonymous, username, password, code=ask_code())


def ask_code() -> str:
    """Ask for a code of the second factor."""
    return str(typer.prompt("Code of the second factor", hide_input=True, err=True))
