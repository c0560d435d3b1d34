"""Routes of search and of hosted models."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from gridward.core.schemas.gateway import ModelLocation, SearchOut
from gridward.core.schemas.node import NODE_NAME_PATTERN
from gridward.gateway import search
from gridward.gateway.search import EntryKind
from gridward.gateway.state import GatewayOf
from gridward.server.state import Caller, ReadDb

router = APIRouter(prefix="/v1", tags=["search"])

TagText = Annotated[str, Query(pattern=r"^#?[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$")]


@router.get("/search")
def find(
    caller: Caller,
    gateway: GatewayOf,
    db: ReadDb,
    tag: Annotated[
        list[TagText], Query(default_factory=list, max_length=16, description="Every one must fit.")
    ],
    q: Annotated[str, Query(max_length=200, description="Words of name and description, all of them.")] = "",
    type: Annotated[EntryKind | None, Query(description="Only datasets or only models.")] = None,
    offset: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> SearchOut:
    """Find datasets and models on live nodes that the caller may discover."""
    return search.find(gateway, db, caller, tag, q, type, offset, limit)


@router.get("/models/{model_id}")
def locate_model(
    model_id: Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")],
    caller: Caller,
    gateway: GatewayOf,
    db: ReadDb,
    node: Annotated[
        str | None,
        Query(pattern=NODE_NAME_PATTERN, description="Its node's name or id, if several host one."),
    ] = None,
) -> ModelLocation:
    """Say which node hosts a model that the caller may discover; the one that listed it first."""
    return search.locate_model(gateway, db, caller, model_id, node)
