"""How the node is doing."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from gridward.api.node import NodeOf
from gridward.api.services import bundles, node_status
from gridward.server.pages.guard import PageCaller
from gridward.server.pages.shell import page

router = APIRouter(include_in_schema=False)


@router.get("/status")
def show_status(request: Request, caller: PageCaller, node: NodeOf) -> Response:
    """Show storage, queues, gateways, roles, bundles and the audit log's head."""
    now = node_status.describe(node, caller)
    return page(request, "status.html", caller, now=now, bundles=bundles.list_all(node, caller))
