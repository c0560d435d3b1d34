"""JSON Web Tokens (RFC 7519): a closed set of kinds, each with its algorithm and `typ` (RFC 8725, 3.11).

A reader names the kind, the key, the issuer and the audience that it expects; nothing of a token is believed
before its signature. A token of one kind never passes for another, and none lives without an end.
"""

import math
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, TypeAlias

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gridward.core.errors import NotSignedInError
from gridward.core.schemas.accounts import PROGRAMS

PrivateKey: TypeAlias = Ed25519PrivateKey | bytes
PublicKey: TypeAlias = Ed25519PublicKey | bytes
Claims: TypeAlias = Mapping[str, Any]

SERVICE: Final = "gridward-service"
LEEWAY_S: Final = 10.0
_REQUIRED: Final = ("iss", "sub", "aud", "iat", "exp", "jti")


class Kind(StrEnum):
    """What a token is for; also its `typ` header."""

    ACCESS = "gridward-access"
    IDENTITY = "gridward-identity"
    ATTESTATION = "gridward-attestation"
    REQUEST = "gridward-request"
    GRANT = "gridward-grant"
    SUM_SHARE = "gridward-sum-share"


ALGORITHM: Final[dict[Kind, str]] = {
    Kind.ACCESS: "HS256",
    Kind.IDENTITY: "EdDSA",
    Kind.ATTESTATION: "EdDSA",
    Kind.REQUEST: "EdDSA",
    Kind.GRANT: "EdDSA",
    Kind.SUM_SHARE: "EdDSA",
}


def issue(
    kind: Kind,
    key: PrivateKey,
    *,
    issuer: str,
    subject: str,
    audience: str,
    now: datetime,
    lifetime_s: float,
    extra: Claims | None = None,
) -> str:
    """Sign a token of `kind` that ends after `lifetime_s` seconds; it carries a random `jti`."""
    claims = dict(extra or {}) | {
        "iss": issuer,
        "sub": subject,
        "aud": audience,
        "iat": now,
        "exp": now + timedelta(seconds=lifetime_s),
        "jti": secrets.token_urlsafe(16),
    }
    return jwt.encode(claims, key, algorithm=ALGORITHM[kind], headers={"typ": kind.value})


def read(kind: Kind, token: str, key: PublicKey, *, issuer: str, audience: str, now: datetime) -> Claims:
    """Return the claims of a genuine, unexpired token of `kind`, or raise `NotSignedInError`.

    The algorithm is the kind's own, whatever the token's header says. Clocks may differ by `LEEWAY_S`.
    """
    try:
        whole = jwt.decode_complete(
            token,
            key,
            algorithms=[ALGORITHM[kind]],
            issuer=issuer,
            audience=audience,
            options={
                "require": list(_REQUIRED),
                # The moment is an argument here; PyJWT would ask the system's clock.
                "verify_exp": False,
                "verify_iat": False,
                "verify_nbf": False,
            },
        )
    except jwt.InvalidTokenError as why:
        raise NotSignedInError("the token is not valid here; sign in again") from why
    claims: dict[str, Any] = whole["payload"]
    if whole["header"].get("typ") != kind.value or not isinstance(claims["aud"], str):
        raise NotSignedInError("the token is of another kind; sign in again")
    if not _is_current(claims, now.timestamp()):
        raise NotSignedInError("the token has expired; sign in again")
    return claims


def peek(token: str) -> tuple[str, str]:
    """Return (`typ`, `iss`) of a token WITHOUT checking it: only to choose the key to check it with.

    Tokens of programs are no JWT: they have the type `SERVICE` and no issuer.
    """
    if token.startswith(PROGRAMS):
        return SERVICE, ""
    try:
        header = jwt.get_unverified_header(token)
        claims = jwt.decode(token, options={"verify_signature": False})
    except jwt.InvalidTokenError as why:
        raise NotSignedInError("this is not a token; sign in again") from why
    return str(header.get("typ", "")), str(claims.get("iss", ""))


def _is_current(claims: Claims, now_s: float) -> bool:
    issued, expires = claims["iat"], claims["exp"]
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in (issued, expires)):
        return False
    return bool(issued <= now_s + LEEWAY_S and now_s < expires + LEEWAY_S)
