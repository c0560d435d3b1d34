"""The node in a secure sum: it contributes its own aggregate as shares, or adds up the shares of others."""

import secrets
from base64 import b64encode
from collections.abc import Mapping
from typing import Final

import torch

from gridward.api.node import Node
from gridward.api.parties import sum_shares
from gridward.api.parties.sum_roles import check_role, require_offer
from gridward.api.services import computations
from gridward.api.tables.accounts import AuditEntry
from gridward.core.errors import (
    ConflictError,
    GridError,
    InvalidInputError,
    OutOfRangeError,
    ProtocolError,
)
from gridward.core.identity import decode_key
from gridward.core.plans.dtypes import NAMES
from gridward.core.schemas.computations import ComputationIn
from gridward.core.schemas.deployments import RoleHolder, SealedOut
from gridward.core.schemas.secure_sums import (
    ContributionIn,
    ContributionOut,
    OpeningIn,
    SumDocument,
    SumShare,
)
from gridward.core.smpc import purposes, secure_sum
from gridward.core.smpc.ring import RingArray, to_bytes
from gridward.core.smpc.sealing import seal, unseal
from gridward.server.audit import record
from gridward.server.principals import Principal
from gridward.server.tokens import LEEWAY_S

ACTION: Final = "secure_sum"


def contribute(node: Node, caller: Principal, body: ContributionIn) -> ContributionOut:
    """Compute what could be released to the caller, and give it away only as shares for the aggregators.

    Who learns what: the caller and each aggregator uniform words; all aggregators together the outputs.
    Raises what a computation raises; ``DeploymentRefusedError`` if the sum would protect nobody;
    ``OutOfRangeError`` naming this node; ``ConflictError`` if it contributed to this sum before.
    """
    document = body.document
    check_role(node, document, document.contributors, "contributor")
    document.words()
    wish = ComputationIn(plan=body.plan, sources=body.sources, release=True)
    words = _words(node, document, computations.released(node, caller, wish, action=ACTION).values)
    _spend(node, document, "contribution")
    digest = document.digest()
    packets = secure_sum.split(words, len(document.aggregators), secrets.token_bytes)
    return ContributionOut(
        shares=[
            _share(node, caller, digest, aggregator, packet)
            for aggregator, packet in zip(document.aggregators, packets, strict=True)
        ]
    )


def open_sum(node: Node, caller: Principal, body: OpeningIn) -> SealedOut:
    """Add up one share of each listed contributor, once; the sum goes to the asker, sealed.

    Who learns what: this node uniform words; the asker, with the sums of all aggregators, the total.
    Raises ``DeploymentRefusedError`` if the role is not offered or the sum would protect nobody;
    ``ProtocolError`` naming the contributor whose share is missing, forged or of another sum;
    ``ConflictError`` if this sum was opened before.
    """
    document = body.document
    require_offer(node)
    position = check_role(node, document, document.aggregators, "aggregator")
    if len(body.shares) != len(document.contributors):
        raise ProtocolError(
            f"{len(body.shares)} shares came where {len(document.contributors)} contributors are listed; "
            "only the sum of all is opened"
        )
    digest = document.digest()
    shares = [
        _read_share(node, caller, document, digest, position, contributor, share)
        for contributor, share in zip(document.contributors, body.shares, strict=True)
    ]
    _spend(node, document, "opening")
    with node.database.write() as db:
        record(db, AuditEntry, caller, node.clock(), f"{ACTION}.open", document.id)
    total = to_bytes(secure_sum.add_up(shares))
    return SealedOut(
        sealed=_text(seal(decode_key(document.asker_key), total, purposes.sum_answer(digest, node.keys.id)))
    )


def _words(node: Node, document: SumDocument, outputs: Mapping[str, torch.Tensor]) -> RingArray:
    found = [(name, NAMES[value.dtype].value, list(value.shape)) for name, value in outputs.items()]
    agreed = [(output.name, output.dtype, output.shape) for output in document.outputs]
    if found != agreed:
        raise InvalidInputError(f"{node.settings.name}: the plan gives {found}, the sum is of {agreed}")
    values = [value.numpy() for value in outputs.values()]
    try:
        return secure_sum.pack(values, document.fraction_bits, len(document.contributors))
    except OutOfRangeError as why:
        raise OutOfRangeError(f"{node.settings.name}: {why.detail}") from None


def _share(node: Node, caller: Principal, digest: str, aggregator: RoleHolder, packet: bytes) -> SumShare:
    purpose = purposes.sum_share(digest, node.keys.id, aggregator.node_id)
    sealed = seal(decode_key(aggregator.seal_key), packet, purpose)
    token = sum_shares.sign(node.keys, caller.name, aggregator.node_id, digest, sealed, node.clock())
    return SumShare(sealed=_text(sealed), token=token)


def _read_share(
    node: Node,
    caller: Principal,
    document: SumDocument,
    digest: str,
    position: int,
    contributor: RoleHolder,
    share: SumShare,
) -> RingArray:
    sealed = share.raw()
    sum_shares.check(share.token, contributor, caller.name, node.keys.id, digest, sealed, node.clock())
    purpose = purposes.sum_share(digest, contributor.node_id, node.keys.id)
    try:
        packet = unseal(node.keys.seal_key.private_bytes_raw(), sealed, purpose)
        return secure_sum.share_of(packet, position, document.words())
    except GridError as why:
        raise ProtocolError(f"{contributor.name}'s share cannot be read: {why.detail}") from why


def _spend(node: Node, document: SumDocument, act: str) -> None:
    """Note that a sum was served; remembered until every signature for it has expired."""
    now_s = node.clock().timestamp()
    if not node.replays.spend(
        f"secure-sum/{act}/{document.id}", now_s + sum_shares.LIFETIME_S + LEEWAY_S, now_s
    ):
        raise ConflictError(f"{node.settings.name} served this sum before; ask anew, under another id")


def _text(sealed: bytes) -> str:
    return b64encode(sealed).decode()
