"""Where a program begins: sign in to a node, sign in to a grid, become a server's owner."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx2

from gridward.client.accounts import accept, ask_reset, set_up
from gridward.client.browser_sign_in import open_browser, open_session
from gridward.client.credentials import PasswordSession, ServiceToken
from gridward.client.gateway import GatewayClient
from gridward.client.node import NodeClient
from gridward.client.transport import Credentials, Transport
from gridward.core.errors import InvalidInputError, ObjectNotFoundError
from gridward.core.schemas.accounts import UserOut
from gridward.core.schemas.gateway import GatewayOut
from gridward.core.schemas.node import NodeOut


def connect(
    url: str,
    username: str | None = None,
    password: str | None = None,
    *,
    code: str | None = None,
    token: str | None = None,
    oidc: bool = False,
    http: httpx2.Client | None = None,
) -> NodeClient:
    """Sign in to a node with an account of that node, such as its owner's.

    ``code``: of the second factor, where the account has one. ``token``: a program's, instead of name and
    password. ``oidc``: through the node's sign-in provider, in a browser, instead of both. ``http``: an own
    client, for proxies or private certificate authorities. The password is not kept.
    Raises ``WrongCredentialsError``, ``SecondFactorRequiredError``, ``TooManyAttemptsError``,
    ``NodeUnreachableError``.
    """
    with _opened(url, http) as anonymous:
        try:
            facts = anonymous.fetch(NodeOut, "GET", "/v1/node")
        except ObjectNotFoundError as why:
            raise InvalidInputError(f"{anonymous.url} is no node; for a gateway: gw.network") from why
        anonymous.label = f"node {facts.name!r} at {anonymous.url}"
        session = _session(anonymous, username, password, code, token, oidc=oidc)
        calls = anonymous.with_credentials(session)
        return NodeClient(calls, id=facts.id, name=facts.name)


def network(
    url: str,
    username: str | None = None,
    password: str | None = None,
    *,
    code: str | None = None,
    token: str | None = None,
    oidc: bool = False,
    http: httpx2.Client | None = None,
) -> GatewayClient:
    """Sign in to a gateway, and so to the grid of nodes behind it.

    ``http``: an own client, for proxies or private certificate authorities; calls to nodes use it too. A
    program's ``token`` administers the gateway, and names nobody to nodes. The password is not kept. Raises
    as ``connect``.
    """
    with _opened(url, http) as anonymous:
        try:
            facts = anonymous.fetch(GatewayOut, "GET", "/v1/gateway")
        except ObjectNotFoundError as why:
            raise InvalidInputError(f"{anonymous.url} is no gateway; for a node: gw.connect") from why
        anonymous.label = f"gateway {facts.name!r} at {anonymous.url}"
        session = _session(anonymous, username, password, code, token, oidc=oidc)
        calls = anonymous.with_credentials(session)
        return GatewayClient(calls, facts)


def setup_owner(
    url: str, token: str, username: str, password: str, *, http: httpx2.Client | None = None
) -> UserOut:
    """Become the owner of a node or gateway with the one-time token that ``gridward init`` printed.

    The token is spent. Raises ``SetupRefusedError`` if it is wrong or was used.
    """
    server = Transport(url, http=http)
    try:
        return set_up(server, token, username, password)
    finally:
        server.close()


def accept_invitation(url: str, token: str, password: str, *, http: httpx2.Client | None = None) -> UserOut:
    """Set the password of one's account with the one-time token that an administrator gave.

    Raises ``NotSignedInError`` for a token that is unknown, used or expired.
    """
    server = Transport(url, http=http)
    try:
        return accept(server, token, password)
    finally:
        server.close()


def request_password_reset(url: str, username: str, *, http: httpx2.Client | None = None) -> None:
    """Ask a node or gateway to mail a one-time token to one's address, for ``accept_invitation``.

    Nothing tells whether there is such an account. Raises ``ConflictError`` where no resets are mailed.
    """
    server = Transport(url, http=http)
    try:
        ask_reset(server, username)
    finally:
        server.close()


def _session(
    anonymous: Transport,
    username: str | None,
    password: str | None,
    code: str | None,
    token: str | None,
    *,
    oidc: bool,
) -> Credentials:
    if oidc and (username, password, token) == (None, None, None):
        opened = open_session(anonymous, open_browser, code=code)
        return PasswordSession(anonymous, opened)
    if oidc:
        raise InvalidInputError("sign in with oidc=True alone: the browser asks for the rest")
    if token is not None and (username, password, code) == (None, None, None):
        return ServiceToken(token)
    if token is None and username is not None and password is not None:
        return PasswordSession.open(anonymous, username, password, code=code)
    raise InvalidInputError("sign in with username and password, with token= or oidc=True")


@contextmanager
def _opened(url: str, http: httpx2.Client | None) -> Iterator[Transport]:
    """Give calls without a session; if signing in fails, no connection stays open."""
    anonymous = Transport(url, http=http)
    try:
        yield anonymous
    except BaseException:
        anonymous.close()
        raise
