"""Whether the gateway vouches for everybody that a host names: the asker checks, no host is believed."""

from collections.abc import Iterable
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gridward.core.errors import DeploymentRefusedError
from gridward.core.identity import read_sign_key
from gridward.core.schemas.deployments import DeploymentDocument, RoleHolder
from gridward.core.schemas.gateway import GatewayOut

TYPE: Final = "gridward-attestation"
FIELDS: Final = ("name", "url", "owner", "sign_key", "seal_key")


def check_roles(document: DeploymentDocument, gateway: GatewayOut) -> None:
    """Refuse a deployment whose roles this gateway does not attest, or in which one owner has two roles.

    Attestations of a long-lived deployment may have expired: who a node is does not change with that, so only
    signature and content count here; the parties checked the dates when they took their roles.
    Raises ``DeploymentRefusedError``.
    """
    if document.gateway_id != gateway.id:
        raise DeploymentRefusedError(f"another gateway than {gateway.name} vouches for this model's parties")
    check_attestations(document.roles(), gateway)
    document.require_distinct_holders()


def check_attestations(roles: Iterable[tuple[str, RoleHolder]], gateway: GatewayOut) -> None:
    """Refuse role holders for whom this gateway does not vouch as stated, whenever it did.

    Raises ``DeploymentRefusedError`` naming the role.
    """
    key = read_sign_key(gateway.sign_key)
    for role, holder in roles:
        claims = _claims(role, holder, gateway, key)
        wrong = [name for name in FIELDS if claims.get(name) != getattr(holder, name)]
        if claims.get("sub") != holder.node_id or wrong:
            raise DeploymentRefusedError(f"{gateway.name} does not vouch for {holder.name} as {role}")


def _claims(role: str, holder: RoleHolder, gateway: GatewayOut, key: Ed25519PublicKey) -> dict[str, Any]:
    try:
        whole = jwt.decode_complete(
            holder.attestation,
            key,
            algorithms=["EdDSA"],
            issuer=gateway.id,
            audience=gateway.id,
            options={"require": ["iss", "sub", "aud", "exp"], "verify_exp": False},
        )
    except jwt.InvalidTokenError as why:
        raise DeploymentRefusedError(f"{gateway.name} does not vouch for {holder.name} as {role}") from why
    if whole["header"].get("typ") != TYPE:
        raise DeploymentRefusedError(f"what vouches for {holder.name} as {role} is no attestation")
    claims: dict[str, Any] = whole["payload"]
    return claims
