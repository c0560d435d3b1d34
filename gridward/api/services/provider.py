"""The crypto provider's side of a deployment: a secret per deployment, bundles dealt when asked for."""

import secrets
from base64 import b64encode
from pathlib import Path
from typing import Final

from gridward.api.node import Node
from gridward.api.parties import records
from gridward.api.parties.dealt import Shelf, replace_durably, wipe_folder
from gridward.api.parties.documents import compile_within
from gridward.api.parties.roles import Record, Role
from gridward.core.errors import DeploymentRefusedError
from gridward.core.schemas.deployments import (
    Acceptance,
    BundleIn,
    DeploymentDocument,
    SealedOut,
)
from gridward.core.smpc import purposes
from gridward.core.smpc.dealer import Dealer
from gridward.core.smpc.prg import KEY_BYTES
from gridward.core.smpc.sealing import seal
from gridward.server.keys import decode_key

SEED_FILE: Final = "seed"


def accept(
    node: Node, token: str, raw: bytes, deployment_id: str, document: DeploymentDocument
) -> Acceptance:
    """Take the role if it is offered, all roles are attested, no owner has two, and the programs agree."""
    path = f"PUT /v1/provider/deployments/{deployment_id}"
    records.verify_signer(node, token, raw, path, document.host)
    if not node.settings.offer_provider:
        raise DeploymentRefusedError(f"{node.settings.name}'s owner does not offer to be a crypto provider")
    records.check_document(node, document, deployment_id, document.crypto_provider)
    digest = compile_within(document, 1, node.settings.query_memory_bytes).digest
    if digest != document.program_digest:
        raise DeploymentRefusedError(f"{node.settings.name} compiles another program than the host")
    with node.database.write() as db:
        records.remember(node, db, document, Role.PROVIDER, -1, document.host.node_id)
    with node.room.dealing:
        if not _seed_path(node, deployment_id).exists():
            replace_durably(_seed_path(node, deployment_id), secrets.token_bytes(KEY_BYTES))
    return Acceptance(program_digest=digest)


def withdraw(node: Node, token: str, deployment_id: str) -> None:
    """Wipe the secret and every packet, then forget the deployment."""
    record = records.find(node, deployment_id, Role.PROVIDER, ending=True)
    path = f"DELETE /v1/provider/deployments/{deployment_id}"
    signer = records.verify_signer(node, token, b"", path, record.document.host)
    records.close(node, deployment_id, signer.name)
    with node.room.dealing:
        node.room.forget(deployment_id)
        wipe_folder(_folder(node, deployment_id))
    records.bury(node, deployment_id)


def deal_setup(node: Node, token: str, deployment_id: str) -> SealedOut:
    """Seal the signing party's set-up packet to it; the same bytes inside on each call."""
    record, position = _asked_by_party(node, token, b"", deployment_id, "setup")
    packet = _dealer(node, record, 1).deal_setup()[position]
    return _sealed(record, position, packet, purposes.setup(deployment_id, position))


def deal_bundle(node: Node, token: str, raw: bytes, deployment_id: str, body: BundleIn) -> SealedOut:
    """Seal the signing party's packet of a bundle to it, dealing the bundle if nobody asked before."""
    record, position = _asked_by_party(node, token, raw, deployment_id, "bundles")
    corrected = body.serial % len(record.document.parties)
    packet = _shelf(node, deployment_id).fetch(
        body.batch,
        body.serial,
        position,
        lambda: _dealer(node, record, body.batch).deal_query(secrets.token_bytes, corrected),
    )
    return _sealed(
        record, position, packet, purposes.bundle(deployment_id, position, body.batch, body.serial)
    )


def confirm_bundle(node: Node, token: str, raw: bytes, deployment_id: str, body: BundleIn) -> None:
    """Wipe a packet that its party has."""
    _, position = _asked_by_party(node, token, raw, deployment_id, "bundles/confirmation")
    _shelf(node, deployment_id).confirm(body.batch, body.serial, position)


def _asked_by_party(node: Node, token: str, body: bytes, deployment_id: str, what: str) -> tuple[Record, int]:
    record = records.find(node, deployment_id, Role.PROVIDER)
    path = f"POST /v1/provider/deployments/{deployment_id}/{what}"
    signer = records.verify_signer(node, token, body, path, *record.document.parties)
    return record, record.document.parties.index(signer)


def _dealer(node: Node, record: Record, batch: int) -> Dealer:
    def make() -> Dealer:
        secret = _seed_path(node, record.id).read_bytes()
        limit = node.settings.query_memory_bytes
        return Dealer(compile_within(record.document, batch, limit), secret)

    return node.room.dealers.get((record.id, batch), make)


def _sealed(record: Record, position: int, packet: bytes, purpose: str) -> SealedOut:
    key = decode_key(record.document.parties[position].seal_key)
    return SealedOut(sealed=b64encode(seal(key, packet, purpose)).decode())


def _shelf(node: Node, deployment_id: str) -> Shelf:
    return Shelf(_folder(node, deployment_id) / "bundles", node.settings.bundles_waiting, node.room.dealing)


def _folder(node: Node, deployment_id: str) -> Path:
    return node.settings.data_dir / "provider" / deployment_id


def _seed_path(node: Node, deployment_id: str) -> Path:
    return _folder(node, deployment_id) / SEED_FILE
