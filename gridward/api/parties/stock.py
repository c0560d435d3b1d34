"""A party's stock of bundles: fetched ahead from the provider, spent once, by the host's count of queries.

The host counts the queries of each batch size; the provider deals for that number, and so do all parties name
their packet of it.
"""

import logging
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, suppress
from functools import partial
from itertools import groupby
from typing import Final

from gridward.api.node import Node
from gridward.api.parties import records
from gridward.api.parties.calls import Peer
from gridward.api.parties.roles import Record, Role
from gridward.core.errors import (
    ConflictError,
    EmptyCryptoPrimitiveStoreError,
    GridError,
    InvalidInputError,
    NodeUnreachableError,
    ObjectNotFoundError,
)
from gridward.core.schemas.bundles import BUNDLES_AT_ONCE, BundlesHad, BundlesIn
from gridward.core.smpc.bundles import BundlePool, open_pool
from gridward.core.smpc.ledger import Total
from gridward.core.smpc.packets import OpenPacket, named_bundle
from gridward.core.smpc.pieces import PIECE_BYTES, Piece, read_pieces

KEPT_BEHIND: Final = 64
"""A packet that lies so far behind the last query of its batch size is given up: its client never came."""
ATTEMPTS: Final = 2
"""How often in a row a fetch may be cut off without getting any further."""
REQUEST_BYTES: Final = 32 << 20
"""A request ends with the packet that reaches so far, so that queries need not wait for a whole refill."""
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0
_log: Final = logging.getLogger("gridward.parties")


def take_bundle(node: Node, record: Record, batch: int, number: int) -> OpenPacket:
    """Spend the packet of a query and return it; fetches it first if it was not fetched ahead.

    Refilling the stock goes on beside the query, and wiping the packet once its body is closed.
    Raises ``EmptyCryptoPrimitiveStoreError`` if it was spent before, or is not here and the provider cannot
    be reached; or the provider's refusal.
    """
    pool = pool_of(node, record)
    if not pool.knows(batch, number):
        try:
            _fetch(node, record, batch, [number])
        except NodeUnreachableError as why:
            raise EmptyCryptoPrimitiveStoreError(
                f"{node.settings.name} has no bundle {number} for queries of {batch} rows left, and cannot "
                f"fetch one: {why.detail}"
            ) from why
    tidy = partial(_tidy, pool, batch, number)
    packet = pool.take(batch, number, lambda: node.offline.wiping.ask(f"party/{record.id}", tidy))
    _refill_soon(node, record, batch)
    return packet


def fetch_ahead(node: Node, record: Record, number: int) -> None:
    """Have the stock of one-row queries filled from a number on, beside the requests."""
    _refill_soon(node, record, 1, number)


def resume(node: Node, record: Record) -> None:
    """Go on after a start: wipe what a crash left, and fill the stock of the batch sizes that were used."""
    pool = pool_of(node, record)
    for batch, sizes in pool.held().items():
        task = partial(_confirm, node, record, batch, sorted(sizes))
        node.offline.refills.ask(f"{record.id}/{batch}/confirmation", task)
    for batch in {1, *pool.ledger.nexts()}:
        _refill_soon(node, record, batch)


def pool_of(node: Node, record: Record) -> BundlePool:
    """Give the pool of a deployment; raises ``ObjectNotFoundError`` where it ended meanwhile."""

    def opened() -> BundlePool:
        records.find(node, record.id, Role.PARTY)
        return open_pool(node.settings.data_dir / "parties" / record.id / "bundles")

    return node.room.pools.get(record.id, opened)


def _refill_soon(node: Node, record: Record, batch: int, start: int = 0, delay_s: float = 0.0) -> None:
    task = partial(_refill, node, record, batch, start)
    node.offline.refills.ask(f"{record.id}/{batch}", task, delay_s)


def _refill(node: Node, record: Record, batch: int, start: int) -> None:
    """Fetch what is missing once half of the stock is used; after trouble again, later each time."""
    failures = node.offline.failures
    try:
        while missing := _missing(node, record, batch, start):
            _fetch(node, record, batch, next(_runs(missing)))
        failures.pop(record.id, None)
    except ObjectNotFoundError:
        failures.pop(record.id, None)  # it ended, here or at the provider
    except GridError as why:
        failures[record.id] = failures.get(record.id, 0) + 1
        pause_s = min(FIRST_PAUSE_S * 2 ** (failures[record.id] - 1), LONGEST_PAUSE_S)
        _log.warning("cannot fetch bundles of %s ahead, again in %.0f s: %s", record.id, pause_s, why)
        _refill_soon(node, record, batch, start, pause_s)


def _missing(node: Node, record: Record, batch: int, start: int) -> list[int]:
    """Name the next numbers to fetch; none while more than half of the stock is there, or it has its bytes.

    Of a batch size that is new, one bundle with corrections for each party tells how large they are.
    """
    pool = pool_of(node, record)
    held, spent = pool.held(), pool.spent().get(batch, Total())
    here = held.get(batch, {})
    first = max(start, pool.ledger.nexts().get(batch, 0))
    wanted = range(first, first + node.settings.bundles_ahead)
    missing = [number for number in wanted if number not in here]
    if 2 * len(missing) < len(wanted):
        return []
    parties = len(record.document.parties)
    if not here and spent.count < parties:
        return missing[:parties]
    each = max(here.values(), default=-(-spent.amount // max(spent.count, 1)))
    room = node.settings.bundles_ahead_bytes - sum(sum(sizes.values()) for sizes in held.values())
    return missing[: max(room // each, 0 if here else 1)]


def _runs(numbers: Sequence[int]) -> Iterator[list[int]]:
    """Cut into runs of consecutive numbers, each short enough for one request."""
    for _, run in groupby(enumerate(numbers), lambda pair: (pair[1] - pair[0], pair[0] // BUNDLES_AT_ONCE)):
        yield [number for _, number in run]


def _fetch(node: Node, record: Record, batch: int, numbers: Sequence[int]) -> None:
    """Fetch packets of consecutive numbers and store them; what is here already is left out.

    A transfer that breaks off goes on at the piece that is missing. Others that want the same deployment's
    bundles have their turn between two requests.
    """
    waiting, attempts = list(numbers), ATTEMPTS
    while waiting:
        with node.room.fetching(record.id):
            records.find(node, record.id, Role.PARTY)  # may have been withdrawn meanwhile
            pool = pool_of(node, record)
            waiting = [number for number in waiting if not pool.knows(batch, number)]
            if not waiting:
                return
            before = pool.drafted(batch, waiting[0])
            stored, broken = _receive(node, record, pool, batch, next(_runs(waiting)))
            if stored:
                _confirm(node, record, batch, stored)
            went_on = bool(stored) or pool.drafted(batch, waiting[0]) > before
        attempts = ATTEMPTS if went_on else attempts - 1
        if broken is not None and not (attempts and isinstance(broken, NodeUnreachableError)):
            raise broken


def _receive(
    node: Node, record: Record, pool: BundlePool, batch: int, numbers: Sequence[int]
) -> tuple[list[int], GridError | None]:
    """Ask once; give the numbers that are stored now, and what went wrong."""
    whole: list[int] = []
    broken: GridError | None = None
    begun, received = pool.drafted(batch, numbers[0]) // PIECE_BYTES, 0
    wanted = BundlesIn(batch=batch, serial=numbers[0], count=len(numbers), piece=begun)
    try:
        with closing(_ask(node, record, "bundles", wanted)) as chunks:
            for piece in read_pieces(chunks, node.settings.query_memory_bytes):
                number = _add(node, record, pool, batch, numbers, piece)
                received += piece.place.piece_bytes
                if piece.place.is_last:
                    whole.append(number)
                    if received > REQUEST_BYTES:
                        break
            else:
                if len(whole) < len(numbers):
                    broken = NodeUnreachableError(f"{record.document.crypto_provider.name} ended too soon")
    except ConflictError as why:
        pool.ledger.add(batch, numbers[0])  # the provider has it no more: no query can be served with it
        broken = why
    except InvalidInputError as why:
        for number in set(numbers) - set(whole):
            pool.drop(batch, number)
        broken = NodeUnreachableError(why.detail) if begun else why
    except GridError as why:
        broken = why
    pool.keep(batch, whole)
    return whole, broken


def _add(
    node: Node, record: Record, pool: BundlePool, batch: int, numbers: Sequence[int], piece: Piece
) -> int:
    """Keep a piece; gives the number of the packet that it is of."""
    place = piece.place
    named, number = named_bundle(place.serial)
    if named != batch or number not in numbers:
        raise InvalidInputError(f"bundle {number} of batch {named} came, which was not asked for")
    opened = piece.opened(node.keys.seal_key.private_bytes_raw(), record.id, record.position)
    pool.add_piece(batch, number, place.begins, opened)
    if pool.draft_serial(batch, number, place.packet_bytes) != place.serial:
        raise InvalidInputError(f"bundle {number} of batch {batch} was dealt anew while it was fetched")
    return number


def _confirm(node: Node, record: Record, batch: int, numbers: Sequence[int]) -> None:
    """Tell the provider what is stored; it does not mind being told again."""
    try:
        for start in range(0, len(numbers), BUNDLES_AT_ONCE):
            had = BundlesHad(batch=batch, serials=list(numbers[start : start + BUNDLES_AT_ONCE]))
            for _ in _ask(node, record, "bundles/confirmation", had):
                pass
    except GridError as why:
        _log.warning("cannot tell the provider that bundles of %s arrived: %s", record.id, why)


def _ask(node: Node, record: Record, what: str, body: BundlesIn | BundlesHad) -> Generator[bytes]:
    provider = record.document.crypto_provider
    return node.calls.stream(
        Peer(provider.node_id, provider.name, provider.url),
        "POST",
        f"/v1/provider/deployments/{record.id}/{what}",
        body.model_dump_json().encode(),
        timeout_s=node.settings.party_timeout_s,
    )


def _tidy(pool: BundlePool, batch: int, number: int) -> None:
    """Wipe what was spent, and give up packets whose queries never came."""
    with suppress(FileNotFoundError):  # it ended meanwhile, and was wiped whole
        for behind in pool.held().get(batch, {}):
            if behind < number - KEPT_BEHIND:
                pool.discard(batch, behind)
        pool.sweep()
