"""Routes of requests and notifications."""

from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Response

from gridward.api.node import NodeOf
from gridward.api.services import decisions, requests
from gridward.core.privacy.approvals import Status
from gridward.core.schemas.requests import (
    ApproveIn,
    NotificationsOut,
    PreviewOut,
    RemarkIn,
    RequestCounts,
    RequestDetail,
    RequestIn,
    RequestsOut,
    SeenIn,
)
from gridward.server.state import Caller, ReadDb

router = APIRouter(prefix="/v1/requests", tags=["requests"])
notices = APIRouter(prefix="/v1/notifications", tags=["requests"])

RequestId = Annotated[str, Path(max_length=64)]
_LONGEST_POLL_S: Final = 30


@router.post("", status_code=201)
def ask(body: RequestIn, caller: Caller, node: NodeOf) -> RequestDetail:
    """Ask those who may open the data for the answer to a question."""
    return requests.ask(node, caller, body)


@router.get("")
def list_requests(
    caller: Caller,
    node: NodeOf,
    db: ReadDb,
    status: Annotated[Status | None, Query(description="Where they stand.")] = None,
    offset: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> RequestsOut:
    """List one's own requests and those that one may decide on."""
    return requests.list_visible(node, caller, db, status, offset, limit)


@router.get("/counts")
def count_requests(caller: Caller, node: NodeOf, db: ReadDb) -> RequestCounts:
    """Say how many of one's own requests, and of those that one may decide on, stand where."""
    return requests.count(node, caller, db)


@router.get("/{request_id}")
def get_request(
    request_id: RequestId, caller: Caller, node: NodeOf, db: ReadDb, response: Response
) -> RequestDetail:
    """Describe a request; while it waits, `Retry-After` says when to look again."""
    found = requests.get(node, caller, db, request_id)
    if found.status == Status.PENDING.value:
        waited_s = (node.clock() - found.created_at).total_seconds()
        response.headers["Retry-After"] = str(max(1, min(_LONGEST_POLL_S, round(waited_s / 20))))
    return found


@router.post("/{request_id}/comments", status_code=201)
def comment_request(request_id: RequestId, body: RemarkIn, caller: Caller, node: NodeOf) -> RequestDetail:
    """Say something to a request."""
    return requests.comment(node, caller, request_id, body.text)


@router.post("/{request_id}/withdraw")
def withdraw_request(request_id: RequestId, body: RemarkIn, caller: Caller, node: NodeOf) -> RequestDetail:
    """Take one's own request back while it waits."""
    return requests.withdraw(node, caller, request_id, body.text)


@router.post("/{request_id}/preview")
def preview_request(request_id: RequestId, caller: Caller, node: NodeOf) -> PreviewOut:
    """Compute what the asker would get; for those who may read the data."""
    return decisions.preview(node, caller, request_id)


@router.post("/{request_id}/approve")
def approve_request(request_id: RequestId, body: ApproveIn, caller: Caller, node: NodeOf) -> RequestDetail:
    """Agree to exactly what the digest names."""
    return decisions.approve(node, caller, request_id, body)


@router.post("/{request_id}/deny")
def deny_request(request_id: RequestId, body: RemarkIn, caller: Caller, node: NodeOf) -> RequestDetail:
    """Say no, with a reason."""
    return decisions.deny(node, caller, request_id, body.text)


@router.post("/{request_id}/revoke")
def revoke_request(request_id: RequestId, body: RemarkIn, caller: Caller, node: NodeOf) -> RequestDetail:
    """Take an approval back."""
    return decisions.revoke(node, caller, request_id, body.text)


@notices.get("")
def list_notifications(
    caller: Caller, db: ReadDb, node: NodeOf, limit: Annotated[int, Query(ge=1, le=500)] = 100
) -> NotificationsOut:
    """List what others did on requests that concern one, and that one has not marked as seen."""
    return requests.notifications(node, caller, db, limit)


@notices.post("/seen", status_code=204)
def mark_notifications_seen(body: SeenIn, caller: Caller, node: NodeOf) -> None:
    """Mark notifications as seen."""
    requests.mark_seen(node, caller, body.up_to)
