"""The catalogue: datasets and models on live nodes that the caller may discover."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from gridward.gateway import search
from gridward.gateway.state import GatewayOf
from gridward.server.pages.guard import PageCaller
from gridward.server.pages.paging import SIZE, PageNumber, Paging, offset
from gridward.server.pages.shell import page
from gridward.server.state import ReadDb

router = APIRouter(include_in_schema=False)


@router.get("/search")
def show_search(
    request: Request,
    caller: PageCaller,
    gateway: GatewayOf,
    db: ReadDb,
    q: Annotated[str, Query(max_length=200)] = "",
    kind: Annotated[Literal["", "dataset", "model"], Query(alias="type")] = "",
    number: PageNumber = 1,
) -> Response:
    """Find datasets and models by words and tags."""
    found = search.find(gateway, db, caller, [], q, kind or None, offset(number), SIZE)
    return page(
        request, "search.html", caller, found=found, paging=Paging(number, found.total), q=q, kind=kind
    )
