"""A host's leave for one caller to do one thing at one party: a short-lived token that the host signs.

The party has no account of the caller. It trusts the host of a deployment that it accepted to say who may
deliver parameter shares or run one query, and nothing else: a grant names party, deployment, purpose and, for
a query, its bundle and the key that answers are sealed to.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gridward.core.errors import AuthorizationError
from gridward.server import tokens
from gridward.server.keys import Keys

LIFETIME_S: Final = 600.0


class Purpose(StrEnum):
    """What a grant allows."""

    PARAMETERS = "parameters"
    QUERY = "query"


@dataclass(frozen=True, slots=True)
class Grant:
    """The content of a grant. All but the first three fields matter for queries only."""

    deployment_id: str
    purpose: Purpose
    caller: str
    query_id: str = ""
    batch: int = 0
    serial: int = 0
    seal_key: str = ""


def sign(grant: Grant, keys: Keys, party_id: str, now: datetime) -> str:
    """Sign a grant for one party with the host's key."""
    extra = {
        "deployment": grant.deployment_id,
        "purpose": grant.purpose.value,
        "query": grant.query_id,
        "batch": grant.batch,
        "serial": grant.serial,
        "seal_key": grant.seal_key,
    }
    return tokens.issue(
        tokens.Kind.GRANT,
        keys.sign_key,
        issuer=keys.id,
        subject=grant.caller,
        audience=party_id,
        now=now,
        lifetime_s=LIFETIME_S,
        extra=extra,
    )


def read(token: str, host_id: str, host_key: Ed25519PublicKey, party_id: str, now: datetime) -> Grant:
    """Check a grant against the host's key. Raises ``NotSignedInError`` or ``AuthorizationError``."""
    claims = tokens.read(tokens.Kind.GRANT, token, host_key, issuer=host_id, audience=party_id, now=now)
    try:
        return Grant(
            deployment_id=str(claims["deployment"]),
            purpose=Purpose(claims["purpose"]),
            caller=str(claims["sub"]),
            query_id=str(claims["query"]),
            batch=int(claims["batch"]),
            serial=int(claims["serial"]),
            seal_key=str(claims["seal_key"]),
        )
    except (KeyError, ValueError, TypeError) as why:
        raise AuthorizationError("the grant is incomplete; ask the model's host for another") from why
