"""The first page of a node: what waits here for whoever looks."""

from typing import Annotated, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from gridward.api.node import NodeOf
from gridward.api.services import datasets, requests
from gridward.core.privacy.approvals import Status
from gridward.core.schemas.requests import SeenIn
from gridward.server import users
from gridward.server.pages.forms import posted
from gridward.server.pages.guard import FormCaller, PageCaller
from gridward.server.pages.shell import done, page
from gridward.server.state import ReadDb

router = APIRouter(include_in_schema=False)
_WAITING: Final = 5
_NOTICES: Final = 10


@router.get("/")
def show_home(request: Request, caller: PageCaller, node: NodeOf, db: ReadDb) -> Response:
    """Show what waits for a decision, what is new, and what one may do first."""
    return page(
        request,
        "home.html",
        caller,
        waiting=requests.list_visible(node, caller, db, Status.PENDING, 0, _WAITING),
        news=requests.notifications(node, caller, db, _NOTICES),
        datasets=datasets.list_visible(node, caller, db, [], None, 0, 1).total,
        user=users.get_own(node.accounts, caller),
    )


@router.post("/notifications/seen")
def mark_seen(
    request: Request, caller: FormCaller, node: NodeOf, body: Annotated[SeenIn, posted(SeenIn)]
) -> Response:
    """Mark what was shown as seen."""
    requests.mark_seen(node, caller, body.up_to)
    return done(request, "/")
