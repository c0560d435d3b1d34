"""Finding datasets and models on live nodes, and the node that hosts a model."""

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from sqlalchemy import func
from sqlmodel import Session, col, select

from gridward.core.errors import ObjectNotFoundError
from gridward.core.schemas.gateway import Hit, ModelLocation, SearchOut
from gridward.core.schemas.tensor import TensorInfo
from gridward.gateway import queries, registry
from gridward.gateway.state import Gateway
from gridward.gateway.tables import CatalogueEntry, Node
from gridward.gateway.words import tag_of, words_of
from gridward.server.principals import Principal

EntryKind: TypeAlias = Literal["dataset", "model"]


def find(
    gateway: Gateway,
    db: Session,
    caller: Principal,
    tags: Sequence[str],
    text: str,
    kind: EntryKind | None,
    offset: int,
    limit: int,
) -> SearchOut:
    """Find what the caller may discover and that has every tag, every word of `text` and the kind.

    Hits are ordered by name, then by age in the index, so that pages do not overlap. Total and pages count
    discoverable entries only.
    """
    terms = terms_of(tags, text)
    if terms is None:
        return SearchOut(items=[], total=0, offset=offset, limit=limit)
    readers = queries.reader_names(caller, gateway.settings.name)
    rows = queries.found(readers, gateway.live_since(), terms, kind)
    order = (col(CatalogueEntry.name), col(CatalogueEntry.key))
    page = db.exec(rows.order_by(*order).offset(offset).limit(limit)).all()
    keys = rows.with_only_columns(col(CatalogueEntry.key)).subquery()
    return SearchOut(
        items=[_hit(entry, node) for entry, node in page],
        total=db.exec(select(func.count()).select_from(keys)).one(),
        offset=offset,
        limit=limit,
    )


def locate_model(
    gateway: Gateway, db: Session, caller: Principal, model_id: str, node: str | None
) -> ModelLocation:
    """Return the node that hosts a model which the caller may discover, live or away.

    Model ids are the nodes' own. If several nodes use one, the node wins that listed it here first, so that
    a later node cannot draw queries to itself, not even while the first is away; `node` names another.
    """
    readers = queries.reader_names(caller, gateway.settings.name)
    for _, host in db.exec(queries.hosts_of_model(readers, model_id)):
        if node is None or node in (host.id, host.held_name):
            return ModelLocation(model_id=model_id, node=registry.describe(gateway, host))
    raise ObjectNotFoundError(
        f"no model '{model_id}' that you may discover" + (f" at '{node}'" if node else "")
    )


def terms_of(tags: Sequence[str], text: str) -> frozenset[str] | None:
    """Return what an entry must have; None if the text is not empty but holds nothing to look up.

    A word of the text that begins with `#` is a tag.
    """
    pieces = text.split()
    asked = {tag_of(tag) for tag in tags} | {tag_of(piece) for piece in pieces if piece.startswith("#")}
    words = [word for piece in pieces if not piece.startswith("#") for word in words_of(piece)]
    if pieces and not asked and not words:
        return None
    return frozenset(asked).union(words)


def _hit(entry: CatalogueEntry, node: Node) -> Hit:
    tensors: list[dict[str, Any]] = entry.tensors
    return Hit.model_validate(
        {
            "kind": entry.kind,
            "id": entry.ref,
            "name": entry.name,
            "description": entry.description,
            "tags": entry.tags,
            "rows": entry.rows,
            "tensors": [TensorInfo.model_validate(tensor) for tensor in tensors],
            "node_id": node.id,
            "node_name": node.held_name or node.name,
            "node_url": node.url,
        }
    )
