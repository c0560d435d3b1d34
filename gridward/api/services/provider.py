"""The crypto provider's side of a deployment: a secret, and bundles dealt ahead or when asked for."""

import logging
import secrets
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from gridward.api.node import Node
from gridward.api.parties import records
from gridward.api.parties.dealt import replace_durably, wipe_folder
from gridward.api.parties.documents import compile_within, dealer_bytes
from gridward.api.parties.roles import Record, Role
from gridward.api.parties.shelf import Bundle, Shelf
from gridward.core.errors import DeploymentRefusedError, GridError, InvalidInputError, ObjectNotFoundError
from gridward.core.schemas.bundles import BundlesHad, BundlesIn
from gridward.core.schemas.deployments import Acceptance, DeploymentDocument, DeploymentState, SealedOut
from gridward.core.smpc import purposes
from gridward.core.smpc.dealer import Dealer
from gridward.core.smpc.packets import name_bundle
from gridward.core.smpc.pieces import PIECE_BYTES, Place, count_pieces, write_piece
from gridward.core.smpc.prg import KEY_BYTES
from gridward.core.smpc.sealing import seal
from gridward.server.keys import decode_key

PAUSE_S: Final = 0.05
SEED_FILE: Final = "seed"
_log: Final = logging.getLogger("gridward.provider")


def accept(
    node: Node, token: str, raw: bytes, deployment_id: str, document: DeploymentDocument
) -> Acceptance:
    """Take the role if it is offered, all roles are attested, no owner has two, and the programs agree."""
    path = f"PUT /v1/provider/deployments/{deployment_id}"
    records.verify_signer(node, token, raw, path, document.host)
    if not node.settings.offer_provider:
        raise DeploymentRefusedError(f"{node.settings.name}'s owner does not offer to be a crypto provider")
    records.check_document(node, document, deployment_id, document.crypto_provider)
    digest = compile_within(document, 1, node.settings.query_memory_bytes, dealer_bytes).digest
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
    node.offline.remove_shelf(deployment_id)
    node.room.forget(deployment_id)
    wipe_folder(_folder(node, deployment_id))
    records.bury(node, deployment_id)


def deal_setup(node: Node, token: str, deployment_id: str) -> SealedOut:
    """Seal the signing party's set-up packet to it; the same bytes inside on each call."""
    record, position = _asked_by_party(node, token, b"", deployment_id, "setup")
    packet = _dealer(node, record, 1).deal_setup()[position]
    if record.state is DeploymentState.PROPOSED:
        records.set_state(node, deployment_id, DeploymentState.READY, record.document.parties[position].name)
    shelf_of(node, record).expect(1)
    deal_ahead_soon(node, deployment_id)
    return _sealed(record, position, packet, purposes.setup(deployment_id, position))


def deal_bundles(node: Node, token: str, raw: bytes, deployment_id: str, body: BundlesIn) -> Iterator[bytes]:
    """Give the signing party's packets of consecutive bundles, in sealed pieces, dealing what nobody dealt.

    A refusal of the first bundle is raised here; at one of a later bundle the pieces end. What was not
    confirmed may be asked for again, from any piece on, also after a restart: it is the same bytes.
    """
    record, position = _asked_by_party(node, token, raw, deployment_id, "bundles")
    _bring(node, record, body.batch, body.serial)
    head, packet_bytes = shelf_of(node, record).header(body.batch, body.serial, position)
    if body.piece >= count_pieces(packet_bytes):
        raise InvalidInputError(f"bundle {body.serial} has {count_pieces(packet_bytes)} pieces")
    place = Place(head.serial, packet_bytes, body.piece)
    deal_ahead_soon(node, deployment_id)
    return _gathered(_pieces(node, record, position, body, place))


def confirm_bundles(node: Node, token: str, raw: bytes, deployment_id: str, body: BundlesHad) -> None:
    """Wipe packets that their party has, and enter them in its account, each once."""
    record, position = _asked_by_party(node, token, raw, deployment_id, "bundles/confirmation")
    shelf = shelf_of(node, record)
    shelf.confirm(body.batch, body.serials, position)
    node.offline.wiping.ask(f"provider/{deployment_id}", shelf.sweep)
    deal_ahead_soon(node, deployment_id)


def deal_ahead_soon(node: Node, deployment_id: str, delay_s: float = 0.0) -> None:
    """Have the shelf of a deployment filled, beside the requests."""
    node.offline.dealing.ask(deployment_id, partial(_deal_ahead, node, deployment_id), delay_s)


def shelf_of(node: Node, record: Record) -> Shelf:
    """Give the shelf of a deployment; raises ``ObjectNotFoundError`` where it ended meanwhile."""

    def make() -> Shelf:
        records.find(node, record.id, Role.PROVIDER)
        folder = _folder(node, record.id) / "bundles"
        parties = len(record.document.parties)
        return Shelf(folder, parties, node.settings.bundles_waiting, node.offline.budget)

    return node.offline.shelf(record.id, make)


def _deal_ahead(node: Node, deployment_id: str) -> None:
    """Deal one bundle that will be asked for, then have the next dealt: deployments take turns."""
    if node.offline.is_busy:
        deal_ahead_soon(node, deployment_id, PAUSE_S)
        return
    try:
        record = records.find(node, deployment_id, Role.PROVIDER)
    except ObjectNotFoundError:
        return  # it ended meanwhile
    shelf = shelf_of(node, record)
    lacking = shelf.lacking(node.settings.bundles_dealt_ahead)
    if lacking is None:
        return
    dealer = _dealer(node, record, lacking[0])
    if shelf.deal_ahead(*lacking, dealer.bundle_bytes, partial(_deal, dealer, record, lacking)):
        deal_ahead_soon(node, deployment_id)


def _bring(node: Node, record: Record, batch: int, number: int) -> None:
    shelf = shelf_of(node, record)
    if shelf.is_ready(batch, number):
        shelf.bring(batch, number, 0, list)
        return
    with node.offline.urgent():
        dealer = _dealer(node, record, batch)
        shelf.bring(batch, number, dealer.bundle_bytes, partial(_deal, dealer, record, (batch, number)))


def _deal(dealer: Dealer, record: Record, bundle: Bundle) -> list[bytes]:
    corrected = bundle[1] % len(record.document.parties)
    return dealer.deal_query(secrets.token_bytes, corrected, name_bundle(*bundle))


def _pieces(
    node: Node, record: Record, position: int, body: BundlesIn, first: Place
) -> Iterator[bytes | None]:
    """Give the pieces in order, and None before a bundle that may have to be waited for."""
    shelf, key = shelf_of(node, record), decode_key(record.document.parties[position].seal_key)
    place = first
    try:
        for number in range(body.serial, body.serial + body.count):
            if number > body.serial:
                if not shelf.is_ready(body.batch, number):
                    yield None
                _bring(node, record, body.batch, number)
                head, packet_bytes = shelf.header(body.batch, number, position)
                place = Place(head.serial, packet_bytes, 0)
            for at in range(place.at, count_pieces(place.packet_bytes)):
                place = replace(place, at=at)
                piece = shelf.read(body.batch, number, position, place.begins, place.piece_bytes)
                yield write_piece(place, piece, key, record.id, position)
    except GridError as why:
        _log.info("bundles of %s for party %d end early: %s", record.id, position, why)


def _gathered(pieces: Iterator[bytes | None]) -> Iterator[bytes]:
    """Join small pieces: each message to the network costs the same, whatever its size."""
    waiting = bytearray()
    for piece in pieces:
        waiting += piece or b""
        if waiting and (piece is None or len(waiting) >= PIECE_BYTES):
            yield bytes(waiting)
            waiting.clear()
    if waiting:
        yield bytes(waiting)


def _asked_by_party(node: Node, token: str, body: bytes, deployment_id: str, what: str) -> tuple[Record, int]:
    record = records.find(node, deployment_id, Role.PROVIDER)
    path = f"POST /v1/provider/deployments/{deployment_id}/{what}"
    signer = records.verify_signer(node, token, body, path, *record.document.parties)
    return record, record.document.parties.index(signer)


def _dealer(node: Node, record: Record, batch: int) -> Dealer:
    def make() -> Dealer:
        secret = _seed_path(node, record.id).read_bytes()
        limit = node.settings.query_memory_bytes
        return Dealer(compile_within(record.document, batch, limit, dealer_bytes), secret, node.room.kernels)

    return node.room.dealers.get((record.id, batch), make)


def _sealed(record: Record, position: int, packet: bytes, purpose: str) -> SealedOut:
    key = decode_key(record.document.parties[position].seal_key)
    return SealedOut(sealed=b64encode(seal(key, packet, purpose)).decode())


def _folder(node: Node, deployment_id: str) -> Path:
    return node.settings.data_dir / "provider" / deployment_id


def _seed_path(node: Node, deployment_id: str) -> Path:
    return _folder(node, deployment_id) / SEED_FILE
