"""Objects: send, list, describe, delete. Their values leave through computations and releases only."""

from sqlmodel import Session, col

from gridward.api import queries_results, storage
from gridward.api.node import Node
from gridward.api.object_store import Content, describe, keep
from gridward.api.tables.accounts import AuditEntry
from gridward.api.tables.objects import StoredObject
from gridward.core import tensors
from gridward.core.errors import ObjectNotFoundError, SendNotPermittedError
from gridward.core.privacy.analysis import Finding, Level
from gridward.core.schemas.objects import ObjectIn, ObjectOut, ObjectsOut
from gridward.server import audit
from gridward.server.principals import Capability, Principal


def send(node: Node, caller: Principal, body: ObjectIn) -> ObjectOut:
    """Store the caller's own tensor; raises ``SendNotPermittedError`` without the capability."""
    if caller.user_id is None or not caller.may(Capability.SEND):
        raise SendNotPermittedError(f"'{caller.name}' may not store things on this node; ask its owner")
    content = Content(
        body.tensor.name,
        tensors.decode(body.tensor),
        Finding(Level.PUBLIC),
        description=body.description,
        tags=tuple(dict.fromkeys(body.tags)),
    )
    return keep(node, caller, content, ())


def list_own(caller: Principal, db: Session, offset: int, limit: int) -> ObjectsOut:
    """List the caller's objects, newest first."""
    rows = queries_results.own_objects(caller)
    newest = rows.order_by(col(StoredObject.created_at).desc(), col(StoredObject.id))
    page = db.exec(newest.offset(offset).limit(limit)).all()
    sources = queries_results.object_sources(db, [item.id for item in page])
    items = [describe(item, [row for row in sources if row.object_id == item.id]) for item in page]
    return ObjectsOut(items=items, total=queries_results.count(db, rows), offset=offset, limit=limit)


def get(caller: Principal, db: Session, object_id: str) -> ObjectOut:
    """Describe one of the caller's objects, without its values."""
    return describe(_own(caller, db, object_id), queries_results.object_sources(db, [object_id]))


def remove(node: Node, caller: Principal, object_id: str) -> None:
    """Delete one of the caller's objects."""
    if caller.limited_to is not None:
        caller.require(Capability.SEND)
    with node.database.write() as db:
        stored = _own(caller, db, object_id)
        unused = storage.drop(db, object_id)
        db.delete(stored)
        audit.record(db, AuditEntry, caller, node.clock(), "delete_object", object_id)
    storage.collect(node, unused)


def _own(caller: Principal, db: Session, object_id: str) -> StoredObject:
    stored = queries_results.own_object(caller, db, object_id)
    if stored is None:
        raise ObjectNotFoundError(f"no object '{object_id}' of yours on this node")
    return stored
