"""What nodes let be found: a pushed catalogue replaces the former one; only entries that changed are written.

The gateway keeps no more than its search needs: names of a node's own accounts and roles in discover lists,
and entries that nobody of this gateway may discover, are dropped before anything is stored.
"""

import hashlib
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

from pydantic import ValidationError
from sqlalchemy import delete, insert
from sqlmodel import Session, col, select

from gridward.core.errors import AuthorizationError, InvalidInputError, TooLargeError
from gridward.core.schemas.access import SIGNED_IN
from gridward.core.schemas.gateway import CatalogueEntry as EntryIn
from gridward.core.schemas.gateway import CatalogueIn
from gridward.gateway.state import Gateway, require_self
from gridward.gateway.tables import CatalogueEntry, CatalogueReader, CatalogueTerm, Node, Standing
from gridward.gateway.words import tag_of, words_of

INDEX_FORMAT: Final = 1
_CHUNK: Final = 500
_FAULTS_SHOWN: Final = 20
_DIRECTION_SIGNS: Final = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})

Key = tuple[str, str]
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Indexed:
    """An entry as it is stored: its columns, the terms that find it, the names that may discover it."""

    key: Key
    digest: str
    columns: Mapping[str, Any]
    terms: frozenset[str]
    readers: frozenset[str]


def mark_of(gateway_name: str, catalogue_digest: str) -> str:
    """Return what is remembered of what was indexed: its digest, and all else that the index depends on."""
    return hashlib.sha256(f"{INDEX_FORMAT}/{gateway_name}/{catalogue_digest}".encode()).hexdigest()


def replace(gateway: Gateway, signer: Node, node_id: str, body: bytes) -> None:
    """Replace the catalogue of the member that signed by the one in `body`, in one transaction.

    Cost: parsing before the transaction; in it, one row for each word of each entry that changed.
    Raises `InvalidInputError` naming the fields, `TooLargeError`, `TooManyAttemptsError`.
    """
    require_self(signer, node_id)
    _require_member(signer)
    gateway.pushes.take(signer.id)
    entries = index(_parse(body), gateway.settings.name)
    most = gateway.settings.catalogue_max_terms
    if sum(len(entry.terms) + len(entry.readers) for entry in entries.values()) > most:
        raise TooLargeError(
            f"this gateway indexes up to {most} words, tags and names of a node; shorten some"
        )
    now = gateway.clock()
    with gateway.database.write() as db:
        node = db.get(Node, signer.id, with_for_update=True)
        _require_member(node)
        _write_changes(db, signer.id, entries, now)
        if node is not None:
            node.catalogue_mark = mark_of(gateway.settings.name, hashlib.sha256(body).hexdigest())
            db.add(node)


def index(catalogue: CatalogueIn, gateway_name: str) -> dict[Key, Indexed]:
    """Return the entries that someone of this gateway may discover, ready to be stored."""
    kept: dict[Key, Indexed] = {}
    seen: set[Key] = set()
    for entry in catalogue.entries:
        key = (entry.kind, entry.id)
        if key in seen:
            raise InvalidInputError(f"entries: {entry.kind} '{entry.id}' is there twice")
        seen.add(key)
        _require_names(entry)
        if readers := _readers(entry.discover, gateway_name):
            kept[key] = _indexed(key, entry, readers, gateway_name)
    return kept


def _indexed(key: Key, entry: EntryIn, readers: frozenset[str], gateway_name: str) -> Indexed:
    seal = mark_of(gateway_name, hashlib.sha256(entry.model_dump_json().encode()).hexdigest())
    terms = words_of(entry.name) | words_of(entry.description) | {tag_of(tag) for tag in entry.tags}
    columns = entry.model_dump(mode="json", exclude={"id", "discover"}) | {
        "ref": entry.id,
        "description": _cleaned(entry.description),
        "digest": seal,
    }
    return Indexed(key, seal, columns, terms, readers)


def _readers(discover: Sequence[str], gateway_name: str) -> frozenset[str]:
    if SIGNED_IN in discover:
        return frozenset({SIGNED_IN})
    return frozenset(name for name in discover if name.endswith(f"@{gateway_name}"))


def _parse(body: bytes) -> CatalogueIn:
    try:
        return CatalogueIn.model_validate_json(body)
    except ValidationError as why:
        faults = why.errors(include_url=False, include_context=False, include_input=False)
        told = [f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in faults]
        raise InvalidInputError("; ".join(told[:_FAULTS_SHOWN])) from why


def _require_names(entry: EntryIn) -> None:
    """Refuse ids and names that could forge lines on a reader's terminal; no honest node has such."""
    if not (entry.id.isprintable() and entry.name.isprintable()):
        raise InvalidInputError(f"entries: {entry.kind} {entry.id!r} has control characters in id or name")


def _cleaned(prose: str) -> str:
    """Return a description without what moves a cursor, turns the reading direction or PostgreSQL refuses."""
    return "".join(sign for sign in prose if sign in "\n\t" or _is_harmless(sign))


def _is_harmless(sign: str) -> bool:
    return unicodedata.category(sign) != "Cc" and unicodedata.bidirectional(sign) not in _DIRECTION_SIGNS


def _require_member(node: Node | None) -> None:
    if node is None or node.standing != Standing.APPROVED:
        raise AuthorizationError(
            "only members push catalogues; the gateway's owner has not approved this node"
        )


def _write_changes(db: Session, node_id: str, entries: Mapping[Key, Indexed], now: datetime) -> None:
    known = {
        (row.kind, row.ref): (row.key, row.digest, row.first_seen_at)
        for row in db.exec(select(CatalogueEntry).where(col(CatalogueEntry.node_id) == node_id))
    }
    fresh = [entry for key, entry in entries.items() if key not in known or known[key][1] != entry.digest]
    written = {entry.key for entry in fresh}
    stale = [row[0] for key, row in known.items() if key not in entries or key in written]
    for keys in _chunks(stale):
        db.execute(delete(CatalogueEntry).where(col(CatalogueEntry.key).in_(keys)))
    for part in _chunks(fresh):
        first_seen = [known[entry.key][2] if entry.key in known else now for entry in part]
        _insert(db, node_id, part, first_seen)


def _insert(db: Session, node_id: str, part: Sequence[Indexed], first_seen: Sequence[datetime]) -> None:
    rows = [
        {**entry.columns, "node_id": node_id, "first_seen_at": moment}
        for entry, moment in zip(part, first_seen, strict=True)
    ]
    keys = db.scalars(
        insert(CatalogueEntry).returning(col(CatalogueEntry.key), sort_by_parameter_order=True), rows
    )
    pairs = list(zip(keys, part, strict=True))
    terms = [{"entry_key": key, "term": term} for key, entry in pairs for term in sorted(entry.terms)]
    readers = [{"entry_key": key, "reader": name} for key, entry in pairs for name in sorted(entry.readers)]
    if terms:
        db.execute(insert(CatalogueTerm), terms)
    db.execute(insert(CatalogueReader), readers)


def _chunks(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    return (items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK))
