"""The first page of a gateway."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from gridward.server.pages.guard import PageCaller
from gridward.server.pages.shell import page

router = APIRouter(include_in_schema=False)


@router.get("/")
def show_home(request: Request, caller: PageCaller) -> Response:
    """Show what waits here."""
    return page(request, "home.html", caller)
