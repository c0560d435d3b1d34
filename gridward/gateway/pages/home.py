"""The first page of a gateway: its nodes at a glance, and the search."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from gridward.core.schemas.gateway import NodeState
from gridward.gateway import registry
from gridward.gateway.state import GatewayOf
from gridward.server.pages.guard import PageCaller
from gridward.server.pages.shell import page
from gridward.server.principals import Capability
from gridward.server.state import ReadDb

router = APIRouter(include_in_schema=False)


@router.get("/")
def show_home(request: Request, caller: PageCaller, gateway: GatewayOf, db: ReadDb) -> Response:
    """Show how many nodes are in which state, and who asks to join."""
    states = [NodeState.LIVE, NodeState.AWAY]
    states += [NodeState.PENDING] if caller.may(Capability.APPROVE_NODES) else []
    found = {state.value: registry.list_nodes(gateway, db, caller, state, 0, 5) for state in states}
    return page(request, "home.html", caller, found=found)
