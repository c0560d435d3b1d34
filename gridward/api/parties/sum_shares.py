"""A contributor's signature under its share of a secure sum: good for one aggregator and one document."""

import hashlib
from datetime import datetime
from typing import Final

from gridward.core.errors import NotSignedInError, ProtocolError
from gridward.core.identity import read_sign_key
from gridward.core.schemas.deployments import RoleHolder
from gridward.server import tokens
from gridward.server.keys import Keys

LIFETIME_S: Final = 600.0
ROUND_LIFETIME_S: Final = 86_400.0
"""Shares of updates wait for the slowest node of their round; what they open is fixed once, and kept."""


def sign(
    keys: Keys,
    asker: str,
    aggregator_id: str,
    digest: str,
    sealed: bytes,
    now: datetime,
    lifetime_s: float = LIFETIME_S,
) -> str:
    """Sign a sealed share for one aggregator, so that ``asker`` may have it added up."""
    return tokens.issue(
        tokens.Kind.SUM_SHARE,
        keys.sign_key,
        issuer=keys.id,
        subject=asker,
        audience=aggregator_id,
        now=now,
        lifetime_s=lifetime_s,
        extra={"document": digest, "share": hashlib.sha256(sealed).hexdigest()},
    )


def check(
    token: str,
    contributor: RoleHolder,
    asker: str,
    aggregator_id: str,
    digest: str,
    sealed: bytes,
    now: datetime,
    lifetime_s: float = LIFETIME_S,
    restored_at: datetime | None = None,
) -> None:
    """Raise ``ProtocolError`` unless this contributor signed exactly this share for exactly this sum.

    A node that was restored does not know what it opened before: it takes no share signed before that.
    """
    try:
        claims = tokens.read(
            tokens.Kind.SUM_SHARE,
            token,
            read_sign_key(contributor.sign_key),
            issuer=contributor.node_id,
            audience=aggregator_id,
            now=now,
        )
    except NotSignedInError as why:
        raise ProtocolError(
            f"{contributor.name} did not sign this share, or too long ago; ask for the sum anew"
        ) from why
    if claims["exp"] - claims["iat"] > lifetime_s:
        raise ProtocolError(f"{contributor.name} signed its share for longer than it may be good")
    if restored_at is not None and claims["iat"] <= restored_at.timestamp() + tokens.LEEWAY_S:
        raise ProtocolError(
            f"{contributor.name} signed its share before this node was restored; start a new round"
        )
    if claims.get("document") != digest:
        raise ProtocolError(f"{contributor.name} signed its share for another sum")
    if claims.get("share") != hashlib.sha256(sealed).hexdigest():
        raise ProtocolError(f"{contributor.name} signed another share")
    if claims["sub"] != asker:
        raise ProtocolError(f"{contributor.name} gave its share for another asker")
