"""Where bearer tokens come from: a session of the server, or an identity that a gateway vouches for."""

import threading
import time
from collections.abc import Callable
from typing import Final

from gridward.client.transport import Transport
from gridward.core.errors import NotSignedInError
from gridward.core.schemas.accounts import SessionOut
from gridward.core.schemas.gateway import TokenOut

_MARGIN_S: Final = 30.0


class PasswordSession:
    """A session opened with a password. The password is not kept; refresh tokens rotate at every use."""

    def __init__(
        self, anonymous: Transport, session: SessionOut, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._server = anonymous
        self._clock = clock
        self._lock = threading.Lock()
        self._take(session)

    @classmethod
    def open(
        cls,
        anonymous: Transport,
        username: str,
        password: str,
        clock: Callable[[], float] = time.monotonic,
        *,
        code: str | None = None,
    ) -> "PasswordSession":
        """Sign in at the server, with the second factor's code where the account has one.

        Raises ``WrongCredentialsError``, ``SecondFactorRequiredError``, ``TooManyAttemptsError``.
        """
        body = {"username": username, "password": password} | ({} if code is None else {"code": code})
        return cls(anonymous, anonymous.fetch(SessionOut, "POST", "/v1/sessions", body=body), clock)

    def token(self) -> str:
        """Give the access token, refreshed if it is about to expire."""
        with self._lock:
            if self._clock() >= self._stale_at:
                self._refresh()
            return self._session.access_token

    def renew(self, refused: str) -> None:
        """Refresh, unless another thread already did."""
        with self._lock:
            if self._session.access_token == refused:
                self._refresh()

    def close(self) -> None:
        """Sign out: the server forgets the session at once."""
        self._server.send(
            "DELETE", "/v1/sessions/current", headers={"authorization": f"Bearer {self.token()}"}
        )

    def _refresh(self) -> None:
        body = {"refresh_token": self._session.refresh_token}
        try:
            self._take(self._server.fetch(SessionOut, "POST", "/v1/sessions/refresh", body=body))
        except NotSignedInError as why:
            raise NotSignedInError(
                f"the session at {self._server.label} has ended; sign in again with gw.connect or gw.network"
            ) from why

    def _take(self, session: SessionOut) -> None:
        self._session = session
        self._stale_at = self._clock() + max(0.0, session.expires_in_s - _MARGIN_S)


class ServiceToken:
    """A token that was made for a program: it is never refreshed, and closing revokes nothing."""

    def __init__(self, token: str) -> None:
        self._token = token

    def token(self) -> str:
        """Give the token."""
        return self._token

    def renew(self, refused: str) -> None:
        """Raise ``NotSignedInError``: there is no other."""
        raise NotSignedInError("the token has expired or was revoked; make another: account.create_token")

    def close(self) -> None:
        """Nothing to end."""


class GatewayIdentity:
    """Short-lived tokens by which a gateway tells one node who is calling."""

    def __init__(
        self, gateway: Transport, audience: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._gateway = gateway
        self._audience = audience
        self._clock = clock
        self._lock = threading.Lock()
        self._token = ""
        self._stale_at = float("-inf")

    @property
    def gateway(self) -> Transport:
        """Calls to the gateway that says who is calling."""
        return self._gateway

    def token(self) -> str:
        """Give a token for this node, fetched anew before it expires."""
        with self._lock:
            if self._clock() >= self._stale_at:
                self._fetch()
            return self._token

    def renew(self, refused: str) -> None:
        """Fetch a token, unless another thread already did."""
        with self._lock:
            if self._token == refused:
                self._fetch()

    def _fetch(self) -> None:
        out = self._gateway.fetch(TokenOut, "POST", "/v1/tokens", body={"audience": self._audience})
        self._token = out.token
        self._stale_at = self._clock() + max(0.0, out.expires_in_s - _MARGIN_S)
