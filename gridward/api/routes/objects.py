"""Routes of objects."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from gridward.api.node import NodeOf
from gridward.api.services import objects
from gridward.core.schemas.objects import ObjectIn, ObjectOut, ObjectsOut
from gridward.server.state import Caller, ReadDb

router = APIRouter(prefix="/v1/objects", tags=["objects"])

ObjectId = Annotated[str, Path(max_length=64)]


@router.post("", status_code=201)
def send_object(body: ObjectIn, caller: Caller, node: NodeOf) -> ObjectOut:
    """Store a tensor of one's own."""
    return objects.send(node, caller, body)


@router.get("")
def list_objects(
    caller: Caller,
    db: ReadDb,
    offset: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> ObjectsOut:
    """List one's own objects, newest first."""
    return objects.list_own(caller, db, offset, limit)


@router.get("/{object_id}")
def get_object(object_id: ObjectId, caller: Caller, db: ReadDb) -> ObjectOut:
    """Describe one of one's own objects; its values leave through computations only."""
    return objects.get(caller, db, object_id)


@router.delete("/{object_id}", status_code=204)
def delete_object(object_id: ObjectId, caller: Caller, node: NodeOf) -> None:
    """Delete one of one's own objects."""
    objects.remove(node, caller, object_id)
