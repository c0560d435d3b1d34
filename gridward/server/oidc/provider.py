"""The provider over HTTP: what it says of itself, its keys, and the exchange of a code for an ID token.

Calls wait for `oidc_timeout_s` at most, follow no redirect and read so many bytes and no more. What the
provider says of itself is kept for an hour; its keys are fetched again when a token names an unknown one.
"""

import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlsplit

import httpx2
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from gridward.core.errors import BusyError, NotSignedInError
from gridward.server.settings import ServerSettings
from gridward.server.settings_mail import LOOPBACK

_MOST_BYTES: Final = 256 * 1024
_KEPT_S: Final = 3600.0
_AT_ONCE: Final = 8
_WAIT_S: Final = 1.0
_PAUSE_S: Final = 5.0
"""After a failure, and between two fetches of keys."""
_SILENT: Final = "the sign-in provider does not answer; try again"
_DISCOVERY: Final = "/.well-known/openid-configuration"


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a provider says of itself (OpenID Connect Discovery 1.0)."""

    authorization: str
    token: str
    keys: str
    takes_basic: bool


class Provider:
    """The one provider of the settings."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(_AT_ONCE)
        self._metadata: Metadata | None = None
        self._keys: KeySet | None = None
        self._read_at = self._failed_at = self._keys_at = float("-inf")

    def address(self, *, state: str, nonce: str, verifier: str, redirect: str, prompt: str | None) -> str:
        """Return where the browser goes to sign in there (RFC 6749, 4.1.1; RFC 7636, 4.3)."""
        settings = self._settings
        made: str = prepare_grant_uri(
            self.metadata().authorization,
            settings.oidc_client_id,
            "code",
            redirect_uri=redirect,
            scope=settings.oidc_scopes,
            state=state,
            nonce=nonce,
            code_challenge=create_s256_code_challenge(verifier),
            code_challenge_method="S256",
            prompt=prompt,
        )
        return made

    def redeem(self, code: str, verifier: str, redirect: str) -> str:
        """Exchange a code for an ID token, which nobody has checked yet."""
        settings, metadata = self._settings, self.metadata()
        body = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect,
            "code_verifier": verifier,
        }
        client = settings.oidc_client_id or ""
        secret = _read_secret(settings)
        basic = secret is not None and metadata.takes_basic
        if not basic:
            body |= {"client_id": client} | ({} if secret is None else {"client_secret": secret})
        auth = httpx2.BasicAuth(quote(client, safe=""), quote(secret or "", safe="")) if basic else None
        answer = self._call("POST", metadata.token, body, auth)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise NotSignedInError("the sign-in provider took no part of this sign-in; begin again")
        return token

    def metadata(self) -> Metadata:
        """Return what the provider says of itself, read within the last hour."""
        known = self._metadata
        if known is not None and time.monotonic() - self._read_at <= _KEPT_S:
            return known
        with self._turn():
            now_s = time.monotonic()
            if self._metadata is None or now_s - self._read_at > _KEPT_S:
                said = self._fetch(f"{(self._settings.oidc_issuer or '').rstrip('/')}{_DISCOVERY}")
                self._metadata, self._read_at = self._checked(said), now_s
            return self._metadata

    def keys(self, *, fresh: bool = False) -> KeySet:
        """Return the provider's public keys; ``fresh``: read again, unless they were just now."""
        place = self.metadata().keys
        with self._turn():
            now_s = time.monotonic()
            old = now_s - self._keys_at > (_PAUSE_S if fresh else _KEPT_S)
            if self._keys is None or old:
                try:
                    self._keys = KeySet.import_key_set(_usable(self._fetch(place)))
                except (JoseError, ValueError, TypeError, KeyError) as why:
                    raise BusyError("the sign-in provider's keys cannot be read", retry_after_s=60) from why
                self._keys_at = now_s
            return self._keys

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Read one document at a time; a thread of the server does not wait long for another's."""
        if not self._lock.acquire(timeout=_WAIT_S):
            raise BusyError(_SILENT, retry_after_s=_PAUSE_S)
        try:
            yield
        finally:
            self._lock.release()

    def _checked(self, said: dict[str, Any]) -> Metadata:
        if said.get("issuer") != self._settings.oidc_issuer:
            raise BusyError("the sign-in provider calls itself by another issuer than the settings")
        methods = said.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        return Metadata(
            authorization=self._place(said.get("authorization_endpoint")),
            token=self._place(said.get("token_endpoint")),
            keys=self._place(said.get("jwks_uri")),
            takes_basic=isinstance(methods, list) and "client_secret_basic" in methods,
        )

    def _place(self, url: object) -> str:
        """An address that the provider names: over TLS, unless it is on this machine like itself."""
        place = urlsplit(url) if isinstance(url, str) else None
        local = urlsplit(self._settings.oidc_issuer or "").hostname in LOOPBACK
        if place is None or not place.hostname:
            raise BusyError("the sign-in provider does not say where to sign in")
        if place.scheme == "https" or (place.scheme == "http" and local and place.hostname in LOOPBACK):
            return place.geturl()
        raise BusyError("the sign-in provider names an address without TLS")

    def _fetch(self, url: str) -> dict[str, Any]:
        """Read a document; after a failure nobody waits for the next for a while."""
        if time.monotonic() - self._failed_at < _PAUSE_S:
            raise BusyError(_SILENT, retry_after_s=_PAUSE_S)
        try:
            return self._call("GET", url)
        except BusyError:
            self._failed_at = time.monotonic()
            raise

    def _call(
        self,
        method: str,
        url: str,
        body: dict[str, str] | None = None,
        auth: httpx2.BasicAuth | None = None,
    ) -> dict[str, Any]:
        if not self._slots.acquire(blocking=False):
            raise BusyError("many people sign in through the provider now; try again", retry_after_s=1)
        try:
            with (
                httpx2.Client(
                    trust_env=False,
                    timeout=self._settings.oidc_timeout_s,
                    follow_redirects=False,
                    verify=ssl.create_default_context(cafile=self._settings.oidc_ca_file),
                ) as client,
                client.stream(
                    method, url, data=body, auth=auth, headers={"accept": "application/json"}
                ) as answer,
            ):
                text = self._read(answer)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as why:
            raise BusyError(_SILENT, retry_after_s=_PAUSE_S) from why
        finally:
            self._slots.release()
        if answer.is_client_error and method == "POST":
            raise NotSignedInError("the sign-in provider refused this sign-in; begin again")
        try:
            said = json.loads(text)
        except (ValueError, RecursionError) as why:
            raise BusyError("the sign-in provider answers something else than JSON") from why
        if not answer.is_success or not isinstance(said, dict):
            raise BusyError(f"the sign-in provider answers with status {answer.status_code}")
        return said

    def _read(self, answer: httpx2.Response) -> bytes:
        text, ends_s = b"", time.monotonic() + 2 * self._settings.oidc_timeout_s
        for piece in answer.iter_bytes():
            text += piece
            if len(text) > _MOST_BYTES or time.monotonic() > ends_s:
                raise BusyError("the sign-in provider answers with too much, or too slowly")
        return text


def _read_secret(settings: ServerSettings) -> str | None:
    file = settings.oidc_client_secret_file
    try:
        return None if file is None else file.read_text().strip()
    except OSError as why:
        raise BusyError("this server cannot read its secret at the sign-in provider") from why


def _usable(said: dict[str, Any]) -> Any:  # noqa: ANN401 (the library's own loose type)
    """Leave out keys of kinds that sign no ID token here, such as secret ones."""
    keys = said["keys"]
    return {"keys": [key for key in keys if key.get("kty") in ("RSA", "EC", "OKP")]}
