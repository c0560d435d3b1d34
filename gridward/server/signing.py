"""Requests between servers: signed by the sender's key, bound to one receiver and one body, used once."""

import hashlib
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gridward.core.errors import NotSignedInError
from gridward.server.ids import utc_now
from gridward.server.keys import Keys
from gridward.server.tokens import LEEWAY_S, Kind, issue, read

REQUEST_S: Final = 60.0
_JTI_LENGTH: Final = 64


class ReplayGuard:
    """Remembers the ids of signed requests until they have expired, so that none counts twice.

    Memory is bounded by what can be signed within a minute by known keys: an id is only kept after its
    signature was checked. A restart forgets; a captured request could then be repeated for a minute.
    """

    def __init__(self) -> None:
        self._expiry: dict[str, float] = {}
        self._lock = threading.Lock()

    def spend(self, jti: str, expires_s: float, now_s: float) -> bool:
        """Note `jti` and say whether it was new."""
        with self._lock:
            if len(self._expiry) % 256 == 255:
                self._expiry = {known: end for known, end in self._expiry.items() if end > now_s}
            if self._expiry.get(jti, 0.0) > now_s:
                return False
            self._expiry[jti] = expires_s + LEEWAY_S
            return True


def sign_request(
    keys: Keys, audience: str, body: bytes, *, target: str = "", clock: Callable[[], datetime] = utc_now
) -> str:
    """Return the Bearer token that signs `body` for the server with id `audience`.

    `target` ("POST /v1/nodes") binds it to one route as well; both sides name it or neither does.
    """
    return issue(
        Kind.REQUEST,
        keys.sign_key,
        issuer=keys.id,
        subject=keys.id,
        audience=audience,
        now=clock(),
        lifetime_s=REQUEST_S,
        extra={"body": hashlib.sha256(body).hexdigest(), "target": target},
    )


def verify_request(
    token: str,
    public_key: Ed25519PublicKey,
    audience: str,
    body: bytes,
    seen_jti: ReplayGuard,
    *,
    issuer: str,
    target: str = "",
    clock: Callable[[], datetime] = utc_now,
) -> None:
    """Check that `issuer`'s key signed exactly this body for `audience`, within a minute, for the first time.

    Raises `NotSignedInError` otherwise. The caller has made sure that `public_key` belongs to `issuer`.
    """
    now = clock()
    claims = read(Kind.REQUEST, token, public_key, issuer=issuer, audience=audience, now=now)
    if claims.get("body") != hashlib.sha256(body).hexdigest() or claims.get("target") != target:
        raise NotSignedInError("the signature is for another request")
    if claims["exp"] - claims["iat"] > REQUEST_S:
        raise NotSignedInError("a signed request may live for a minute at most")
    if len(claims["jti"]) > _JTI_LENGTH:
        raise NotSignedInError("the signature's id is too long to be remembered")
    if not seen_jti.spend(f"{issuer}/{claims['jti']}", claims["exp"], now.timestamp()):
        raise NotSignedInError("this signed request was used before")
