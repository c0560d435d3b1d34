"""What every role holder checks before it takes its role, for itself and with its own pinned keys."""

from collections.abc import Callable, Iterable
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gridward.core.errors import DeploymentRefusedError, GridError, InvalidInputError
from gridward.core.plans import codec
from gridward.core.schemas.deployments import DeploymentDocument, RoleHolder
from gridward.core.smpc.compile import compile_plan
from gridward.core.smpc.correlations import slot_bytes
from gridward.core.smpc.program import Program
from gridward.server import tokens
from gridward.server.keys import id_of

_ATTESTED = ("name", "url", "owner", "sign_key", "seal_key")


def check_roles(document: DeploymentDocument, gateway_key: Ed25519PublicKey, now: datetime) -> None:
    """Refuse a deployment whose roles are not attested by the gateway or share a node or an owner.

    Raises ``DeploymentRefusedError`` naming role and cause. ``gateway_key`` is the caller's own pinned key of
    the gateway that the document names.
    """
    check_attestations(document.gateway_id, document.roles(), gateway_key, now)
    document.require_distinct_holders()


def check_attestations(
    gateway_id: str, roles: Iterable[tuple[str, RoleHolder]], gateway_key: Ed25519PublicKey, now: datetime
) -> None:
    """Refuse role holders for whom the gateway does not vouch, exactly as stated and now.

    Raises ``DeploymentRefusedError`` naming role and cause.
    """
    for role, holder in roles:
        _check_attestation(gateway_id, role, holder, gateway_key, now)


def _check_attestation(
    gateway_id: str, role: str, holder: RoleHolder, gateway_key: Ed25519PublicKey, now: datetime
) -> None:
    try:
        claims = tokens.read(
            tokens.Kind.ATTESTATION,
            holder.attestation,
            gateway_key,
            issuer=gateway_id,
            audience=gateway_id,
            now=now,
        )
    except GridError as why:
        raise DeploymentRefusedError(
            f"the gateway's word for {holder.name} as {role} does not hold: {why}"
        ) from why
    if claims["sub"] != holder.node_id or id_of(holder.sign_key) != holder.node_id:
        raise DeploymentRefusedError(f"the gateway's word for {holder.name} as {role} is about another node")
    for field in _ATTESTED:
        if claims.get(field) != getattr(holder, field):
            raise DeploymentRefusedError(
                f"the gateway attests another {field} of {holder.name} than was stated"
            )


def compile_document(document: DeploymentDocument, batch: int) -> Program:
    """Compile the deployment's plan for one batch size; every role gets the same program.

    Raises ``PlanRejectedError``, or ``InvalidInputError`` for numbers that do not go together.
    """
    plan = codec.from_dict(document.plan.model_dump(mode="json", by_alias=True, exclude_none=True))
    try:
        return compile_plan(
            plan,
            batch=batch,
            parties=len(document.parties),
            fraction_bits=document.fraction_bits,
            width=document.width,
            levels=document.levels,
        )
    except (ValueError, ArithmeticError) as why:
        raise InvalidInputError(f"this plan cannot be compiled: {why}") from why


def party_bytes(program: Program) -> int:
    """Say what a query takes of a party: memory, with the model's, or a packet on the disk."""
    return max(program.costs.memory.running_bytes, program.costs.dealer_bytes)


def dealer_bytes(program: Program) -> int:
    """Say what a query takes of a provider's memory: the masks of weights, all draws, and the packets."""
    slots = sum(slot_bytes(slot) for slot in (*program.manifest, *program.setup_manifest))
    return slots + program.costs.dealer_bytes


def compile_within(
    document: DeploymentDocument, batch: int, limit_bytes: int, needed: Callable[[Program], int]
) -> Program:
    """Compile as ``compile_document`` for a node that would compute or deal such a query.

    A small plan may ask for any amount of memory, so the amount is known before any is taken. Raises
    ``InvalidInputError`` where ``needed`` gives more than ``limit_bytes``.
    """
    program = compile_document(document, batch)
    if (wanted := needed(program)) > limit_bytes:
        raise InvalidInputError(
            f"a query of {batch} rows takes {wanted:,} bytes here; this node allows {limit_bytes:,}"
        )
    return program
