"""The node in a sum of updates: it contributes what it trained as shares, or adds up the shares of others."""

import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import numpy as np
import pybase64
from sqlmodel import Session

from gridward.api import parameters, queries_results, storage
from gridward.api.node import Node
from gridward.api.parties import sum_shares
from gridward.api.parties.sum_roles import check_role, require_offer
from gridward.api.provenance import Behind, grants
from gridward.api.services import releases
from gridward.api.tables.accounts import AuditEntry
from gridward.api.tables.secure_aggregations import UpdateContribution, UpdateOpening
from gridward.api.tables.trainings import Training
from gridward.core.errors import (
    ConflictError,
    DeploymentRefusedError,
    GridError,
    InvalidInputError,
    ObjectNotFoundError,
    OutOfRangeError,
    ProtocolError,
)
from gridward.core.identity import decode_key
from gridward.core.privacy.policy import decide_export
from gridward.core.schemas.deployments import RoleHolder, SealedOut
from gridward.core.schemas.secure_aggregations import (
    AggregationDocument,
    UpdateContributionIn,
    UpdateOpeningIn,
)
from gridward.core.schemas.secure_sums import ContributionOut, SumShare
from gridward.core.schemas.tensor import TensorInfo
from gridward.core.schemas.trainings import TrainingState
from gridward.core.smpc import purposes
from gridward.core.smpc.kernels.seam import ShortWords
from gridward.core.smpc.quantised import WIRE_SHORT, Array, Slot, Terms, norm_of
from gridward.core.smpc.sealing import seal, unseal
from gridward.core.smpc.secure_aggregation import Contribution, add_up, share_of
from gridward.server.audit import record
from gridward.server.db import lock
from gridward.server.principals import Principal

ACTION: Final = "secure_update"


def contribute(node: Node, caller: Principal, body: UpdateContributionIn) -> ContributionOut:
    """Clip and quantise the update of a secure training, and give one piece of it away as shares.

    Whatever the caller could not have as parameters it does not get inside a sum. A training goes to one
    document only, and a document gets one of this node's; asked again, the same shares are given.
    Who learns what: the caller and each aggregator uniform words; all aggregators together the update.

    Raises:
        ObjectNotFoundError: no such training of the caller's.
        ConflictError: it did not end well, or its update, lesson or this document was used before.
        InvalidInputError: the document is of another lesson or other tensors.
        DeploymentRefusedError: the sum would protect nobody, or its quorum is too small for this node.
        GetNotPermittedError: the caller may not export what was trained.
        OutOfRangeError: naming this node.
    """
    document = body.document
    check_role(node, document, document.contributors, "contributor")
    _require_quorum(node, document)
    span, digest = document.piece(body.piece), document.digest()
    training = _trained(node, caller, body)
    _release(node, caller, training, document)
    given, since = _contribution(node, training, document, digest)
    seeds = [
        _seed(node, digest, training.id, body.piece, aggregator) for aggregator in document.aggregators[1:]
    ]
    try:
        packets = given.packets(span, seeds)
    except OutOfRangeError as why:
        raise OutOfRangeError(f"{node.settings.name}: {why.detail}") from None
    return ContributionOut(
        shares=[
            _share(node, caller, digest, body.piece, aggregator, packet, since)
            for aggregator, packet in zip(document.aggregators, packets, strict=True)
        ]
    )


def open_sum(node: Node, caller: Principal, body: UpdateOpeningIn) -> SealedOut:
    """Add up one share of each named contributor; the sum goes to the asker, sealed.

    For one document the sum of the same contributors is opened again and again, and of no others ever: two
    sums that differ by a node would be its update.
    Who learns what: this node uniform words; the asker, with the sums of all aggregators, the total.

    Raises:
        DeploymentRefusedError: the role is not offered, the sum would protect nobody, or too few contributed.
        ProtocolError: naming the contributor whose share is missing, forged or of another sum.
        ConflictError: the sum of other contributors was opened before.
    """
    document = body.document
    require_offer(node)
    position = check_role(node, document, document.aggregators, "aggregator")
    _require_quorum(node, document)
    holders = _named(document, body)
    span, digest = document.piece(body.piece), document.digest()
    with node.database.read() as db:
        restored_at = queries_results.restored_at(db)
    shares = (
        _read_share(node, caller, body, digest, position, holder, share, restored_at)
        for holder, share in zip(holders, body.shares, strict=True)
    )
    total = add_up(shares, len(span))
    _fix(node, caller, document, digest, body.contributors)
    purpose = purposes.update_sum(digest, body.piece, ",".join(body.contributors), node.keys.id)
    words = total.astype(WIRE_SHORT, copy=False).data.cast("B")
    return SealedOut.of(seal(decode_key(document.asker_key), words, purpose))


def drop_updates(db: Session) -> None:
    """Drop kept updates after a restore: into which sums they went since the back-up is not known."""
    for training in queries_results.with_updates(db):
        storage.drop(db, training.id)  # the sweep at the start removes the files
        training.blob = None
        db.add(training)


def _require_quorum(node: Node, document: AggregationDocument) -> None:
    least = node.settings.secure_quorum
    if document.quorum < least:
        raise DeploymentRefusedError(
            f"{node.settings.name} takes part in sums of at least {least} updates; the quorum is "
            f"{document.quorum}"
        )


def _trained(node: Node, caller: Principal, body: UpdateContributionIn) -> Training:
    with node.database.read() as db:
        training = queries_results.own_training(caller, db, body.training_id)
    if training is None:
        raise ObjectNotFoundError(f"no training '{body.training_id}' of yours on this node")
    if training.lesson is None or training.blob is None or training.state != TrainingState.DONE:
        raise ConflictError(
            f"training '{training.id}' has no update for a sum, or none any more: it is {training.state}"
        )
    if training.lesson != body.document.lesson:
        raise InvalidInputError(f"{node.settings.name} trained another lesson than this sum is of")
    return training


def _release(node: Node, caller: Principal, training: Training, document: AggregationDocument) -> None:
    """Decide as on the parameters themselves: who asks could be in league with all other contributors."""
    with node.database.read() as db:
        rows = queries_results.training_sources(db, training.id)
        behind = [Behind(row.dataset_id, row.version, row.rows) for row in rows]
        decision = decide_export(grants(caller, db, behind, node.clock()), training.parameters)
    subjects = [training.id, document.id, *(item.table for item in behind)]
    plan_digest = training.plan_digest
    releases.settle(node, caller, decision, action=ACTION, subjects=subjects, plan_digest=plan_digest)


def _contribution(
    node: Node, training: Training, document: AggregationDocument, digest: str
) -> tuple[Contribution, datetime]:
    values = parameters.read_all(node.blobs.path(training.blob or ""))
    update = {name: value.numpy() for name, value in values.items()}
    slots = [_slot(node, info, update) for info in document.parameters]
    if sorted(slots, key=lambda slot: not slot.real) != slots:
        raise InvalidInputError("a sum of updates lists real tensors first")
    terms = _terms(document)
    norm, since = _spend(node, training, document, digest, update, slots)
    return Contribution(update, slots, terms, training.rows, norm), since


def _terms(document: AggregationDocument) -> Terms:
    return Terms(len(document.contributors), document.clip, document.most_rows, document.fraction_bits)


def _slot(node: Node, info: TensorInfo, update: dict[str, Array]) -> Slot:
    value = update.get(info.name)
    real = info.dtype in ("float32", "float64")
    if value is None or list(value.shape) != info.shape or np.issubdtype(value.dtype, np.floating) != real:
        raise InvalidInputError(f"{node.settings.name} trained no {info.name!r} of this type and shape")
    return Slot(info.name, real, tuple(info.shape))


def _spend(
    node: Node,
    training: Training,
    document: AggregationDocument,
    digest: str,
    update: dict[str, Array],
    slots: Sequence[Slot],
) -> tuple[float, datetime]:
    """Bind document and training to each other for good; gives the update's norm, and since when.

    An update of one lesson goes into one sum of a caller's, whichever training made it.
    """
    with node.database.write() as db:
        lock(db, f"lesson {training.lesson} of {training.user_id}")
        lock(db, f"aggregation {document.id}")
        known = db.get(UpdateContribution, document.id)
        elsewhere = queries_results.contributed(db, training.id)
        if known is not None or elsewhere is not None:
            if known is None or known != elsewhere or known.digest != digest:
                raise ConflictError(
                    f"{node.settings.name} contributed to this sum, or this update, before; start a new round"
                )
            return known.norm, known.created_at
        if queries_results.contributed_lesson(db, training.user_id, training.lesson or ""):
            raise ConflictError(
                f"{node.settings.name} contributed an update of this lesson before, and two sums of it may "
                "differ by one node's update; train with another seed"
            )
        norm, now = norm_of(update, slots), node.clock()
        db.add(
            UpdateContribution(
                document_id=document.id,
                training_id=training.id,
                digest=digest,
                norm=norm,
                created_at=now,
            )
        )
        return norm, now


def _seed(node: Node, digest: str, training_id: str, piece: int, aggregator: RoleHolder) -> bytes:
    """Derive a seed that is the same when the same piece is asked for again, and unknown outside."""
    text = f"gridward update mask {digest} {training_id} {piece} {aggregator.node_id}".encode()
    return hmac.new(node.keys.entity_secret, text, hashlib.sha256).digest()


def _share(
    node: Node,
    caller: Principal,
    digest: str,
    piece: int,
    aggregator: RoleHolder,
    packet: bytes | memoryview,
    since: datetime,
) -> SumShare:
    """Sign as of when the contribution was first asked for: asked again, it is not good for longer."""
    purpose = purposes.update_share(digest, piece, node.keys.id, aggregator.node_id)
    sealed = seal(decode_key(aggregator.seal_key), packet, purpose)
    token = sum_shares.sign(
        node.keys,
        caller.name,
        aggregator.node_id,
        digest,
        sealed,
        since,
        sum_shares.ROUND_LIFETIME_S,
    )
    return SumShare(sealed=pybase64.b64encode(sealed).decode(), token=token)


def _named(document: AggregationDocument, body: UpdateOpeningIn) -> list[RoleHolder]:
    """Look up who contributed, and refuse sums of too few of them, or of one owner's."""
    named = set(body.contributors)
    holders = [holder for holder in document.contributors if holder.node_id in named]
    if [holder.node_id for holder in holders] != body.contributors or len(body.shares) != len(holders):
        raise ProtocolError("name each contributor once, in the document's order, with one share of each")
    if len(holders) < document.quorum:
        raise DeploymentRefusedError(
            f"{len(holders)} of {len(document.contributors)} nodes contributed; {document.quorum} are needed"
        )
    if len({holder.owner.casefold() for holder in holders}) < 2:
        raise DeploymentRefusedError(
            f"all who contributed belong to {holders[0].owner}; a sum needs two owners"
        )
    return holders


def _read_share(
    node: Node,
    caller: Principal,
    body: UpdateOpeningIn,
    digest: str,
    position: int,
    contributor: RoleHolder,
    share: SumShare,
    restored_at: datetime | None,
) -> ShortWords:
    sealed = share.raw()
    sum_shares.check(
        share.token,
        contributor,
        caller.name,
        node.keys.id,
        digest,
        sealed,
        node.clock(),
        sum_shares.ROUND_LIFETIME_S,
        restored_at,
    )
    purpose = purposes.update_share(digest, body.piece, contributor.node_id, node.keys.id)
    try:
        packet = unseal(node.keys.seal_key.private_bytes_raw(), sealed, purpose)
        return share_of(packet, position, len(body.document.piece(body.piece)))
    except GridError as why:
        raise ProtocolError(f"{contributor.name}'s share cannot be read: {why.detail}") from why


def _fix(
    node: Node, caller: Principal, document: AggregationDocument, digest: str, contributors: list[str]
) -> None:
    """Note for good whose sum this document opens; raises ``ConflictError`` where it was another."""
    with node.database.write() as db:
        lock(db, f"aggregation {document.id}")
        known = db.get(UpdateOpening, document.id)
        if known is not None and (known.digest != digest or known.contributors != contributors):
            raise ConflictError(
                f"{node.settings.name} opened the sum of {len(known.contributors)} nodes for this round; "
                "it opens no other one"
            )
        if known is None:
            row = UpdateOpening(
                document_id=document.id, digest=digest, contributors=contributors, created_at=node.clock()
            )
            db.add(row)
            record(db, AuditEntry, caller, node.clock(), f"{ACTION}.open", document.id)
