"""The directory: nodes, one of them, and the word on those that ask to join."""

from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from gridward.core.schemas.gateway import ApprovalIn, NodeState
from gridward.core.schemas.node import NODE_ID_PATTERN, NODE_NAME_PATTERN
from gridward.gateway import registry, witness
from gridward.gateway.state import GatewayOf
from gridward.server.pages.forms import posted
from gridward.server.pages.guard import FormCaller, PageCaller
from gridward.server.pages.paging import SIZE, PageNumber, Paging, offset
from gridward.server.pages.shell import done, page
from gridward.server.principals import Capability
from gridward.server.state import ReadDb, WriteDb

router = APIRouter(prefix="/nodes", include_in_schema=False)
NodeId = Annotated[str, Path(pattern=NODE_ID_PATTERN)]
NameOrId = Annotated[str, Path(pattern=NODE_NAME_PATTERN)]
_OUTSIDE: Final = (NodeState.PENDING, NodeState.REFUSED)


@router.get("")
def show_nodes(
    request: Request,
    caller: PageCaller,
    gateway: GatewayOf,
    db: ReadDb,
    state: Annotated[NodeState | None, Query()] = None,
    number: PageNumber = 1,
) -> Response:
    """List the grid's nodes; those who approve also see who asks to join."""
    found = registry.list_nodes(gateway, db, caller, state, offset(number), SIZE)
    approves = caller.may(Capability.APPROVE_NODES)
    return page(
        request,
        "nodes.html",
        caller,
        found=found,
        paging=Paging(number, found.total),
        chosen=state.value if state else "",
        states=[one.value for one in NodeState if approves or one not in _OUTSIDE],
    )


@router.get("/{name_or_id}")
def show_node(
    request: Request, caller: PageCaller, gateway: GatewayOf, db: ReadDb, name_or_id: NameOrId
) -> Response:
    """Show a node, what it signed of its audit log, and how one decides on it."""
    it = registry.find(gateway, db, caller, name_or_id)
    heads = witness.list_heads(db, it.id).items
    return page(request, "node.html", caller, it=it, heads=heads)


@router.post("/{node_id}/approval")
def decide(
    request: Request,
    caller: FormCaller,
    gateway: GatewayOf,
    db: WriteDb,
    node_id: NodeId,
    body: Annotated[ApprovalIn, posted(ApprovalIn)],
) -> Response:
    """Take a node in under its owner's label, or refuse it."""
    registry.decide(gateway, db, caller, node_id, body)
    return done(request, f"/nodes/{node_id}", "saved")
