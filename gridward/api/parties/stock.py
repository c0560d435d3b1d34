"""A party's stock of bundles: fetched ahead from the provider, spent once, by the host's count of queries.

The host counts the queries of each batch size; the provider deals for that number; the dealer's own random
serial names the packet in the pool. A small file a number leads from one to the other.
"""

import logging
from pathlib import Path
from typing import Final

from gridward.api.node import Node
from gridward.api.parties import records
from gridward.api.parties.calls import Peer
from gridward.api.parties.dealt import replace_durably
from gridward.api.parties.roles import Record, Role
from gridward.core.errors import AlreadyExistsError, GridError
from gridward.core.schemas.deployments import BundleIn, SealedOut
from gridward.core.smpc import purposes
from gridward.core.smpc.bundles import BundlePool, open_pool
from gridward.core.smpc.packets import parse_packet
from gridward.core.smpc.sealing import unseal

_log: Final = logging.getLogger("gridward.parties")


def take_bundle(node: Node, record: Record, batch: int, number: int) -> bytes:
    """Spend the packet of a query and return it; fetches it first if it was not fetched ahead.

    Raises ``EmptyCryptoPrimitiveStoreError`` if it was spent before, or the provider's refusal.
    """
    serial = _held(node, record, batch, number)
    packet = _pool(node, record).take(serial)
    if batch == 1:
        node.room.errands.submit(fetch_ahead, node, record, number + 1)
    return packet


def fetch_ahead(node: Node, record: Record, number: int) -> None:
    """Fetch the next bundles of one-row queries; trouble is logged, and the query will say it again."""
    try:
        for ahead in range(number, number + node.settings.bundles_ahead):
            _held(node, record, 1, ahead)
    except GridError as why:
        _log.warning("cannot fetch bundles of %s ahead: %s", record.id, why)


def _held(node: Node, record: Record, batch: int, number: int) -> str:
    """Return the serial of a packet that lies, or lay, in the pool; fetches it if it never did."""
    name = _folder(node, record) / "numbers" / f"{batch}-{number}"
    with node.room.fetching(record.id):
        if not name.exists():
            records.find(node, record.id, Role.PARTY)  # may have been withdrawn meanwhile
            packet = _fetch(node, record, BundleIn(batch=batch, serial=number))
            serial = parse_packet(packet).serial.hex()
            try:
                _pool(node, record).store(packet)
            except AlreadyExistsError:
                # stored by an earlier try that ended before it wrote the number down
                _log.info("bundle %s of %s was stored before", serial, record.id)
            replace_durably(name, serial.encode())
            _confirm(node, record, BundleIn(batch=batch, serial=number))
    return name.read_text()


def _fetch(node: Node, record: Record, wanted: BundleIn) -> bytes:
    answer = SealedOut.model_validate_json(_ask(node, record, "bundles", wanted))
    purpose = purposes.bundle(record.id, record.position, wanted.batch, wanted.serial)
    return unseal(node.keys.seal_key.private_bytes_raw(), answer.raw(), purpose)


def _confirm(node: Node, record: Record, had: BundleIn) -> None:
    try:
        _ask(node, record, "bundles/confirmation", had)
    except GridError as why:
        _log.warning("cannot tell the provider that a bundle of %s arrived: %s", record.id, why)


def _ask(node: Node, record: Record, what: str, body: BundleIn) -> bytes:
    provider = record.document.crypto_provider
    return node.calls.send(
        Peer(provider.node_id, provider.name, provider.url),
        "POST",
        f"/v1/provider/deployments/{record.id}/{what}",
        body.model_dump_json().encode(),
        timeout_s=node.settings.party_timeout_s,
    )


def _pool(node: Node, record: Record) -> BundlePool:
    return node.room.pools.get(record.id, lambda: open_pool(_folder(node, record)))


def _folder(node: Node, record: Record) -> Path:
    return node.settings.data_dir / "parties" / record.id / "bundles"
