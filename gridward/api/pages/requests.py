"""Requests: the queue, one of them whole, and what people decide on it."""

from datetime import date
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, TypeAlias

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel
from sqlmodel import Session
from starlette.responses import Response

from gridward.api.node import Node, NodeOf
from gridward.api.services import decisions, requests
from gridward.core import tensors
from gridward.core.errors import InvalidInputError
from gridward.core.privacy.approvals import Status
from gridward.core.schemas.requests import ApproveIn, RemarkIn
from gridward.core.schemas.tensor import Tensor
from gridward.server.pages.forms import checked, midnight_after, posted
from gridward.server.pages.guard import FormCaller, PageCaller
from gridward.server.pages.paging import SIZE, PageNumber, Paging, offset
from gridward.server.pages.shell import done, is_fragment, page
from gridward.server.principals import Capability, Principal
from gridward.server.state import ReadDb

router = APIRouter(prefix="/requests", include_in_schema=False)
RequestId: TypeAlias = Annotated[str, Path(max_length=64)]
ALL: Final = "all"
SHOWN: Final = 60
"""So many values of each tensor are shown in a preview."""
LINES: Final = 150
EVENTS: Final = 25
"""So much of a long plan or history is on one page; the rest is on others."""


class Bounds(StrEnum):
    """How far a yes goes."""

    ONCE = "once"
    BOUNDED = "bounded"
    STANDING = "standing"


class ApproveForm(BaseModel):
    """What the form of a yes sends."""

    digest: str
    bounds: Bounds = Bounds.ONCE
    times: int | None = None
    last_day: date | None = None
    note: str = ""

    def checked(self) -> ApproveIn:
        """Return it as REST takes it; the last day ends at midnight, UTC."""
        given: dict[str, Any] = {"digest": self.digest, "note": self.note}
        if self.bounds is Bounds.STANDING:
            given["standing"] = True
        if self.bounds is Bounds.BOUNDED:
            if self.times is None and self.last_day is None:
                raise InvalidInputError("say how many times, or the last day, or both")
            given |= {"times": self.times, "until": midnight_after(self.last_day)}
        return checked(ApproveIn, given)


@router.get("")
def show_requests(
    request: Request,
    caller: PageCaller,
    node: NodeOf,
    db: ReadDb,
    status: Annotated[Status | Literal["all"] | None, Query()] = None,
    number: PageNumber = 1,
) -> Response:
    """Show the queue: what waits for whoever decides, all to others."""
    decides = caller.may(Capability.DECIDE_REQUESTS) or caller.may(Capability.TRIAGE_REQUESTS)
    chosen = status or (Status.PENDING if decides else ALL)
    wanted = None if chosen == ALL else Status(chosen)
    found = requests.list_visible(node, caller, db, wanted, offset(number), SIZE)
    return page(
        request,
        "requests.html",
        caller,
        requests=found.items,
        paging=Paging(number, found.total),
        counts=requests.count(node, caller, db).model_dump(),
        chosen=str(chosen),
    )


@router.get("/{request_id}")
def show_request(
    request: Request, caller: PageCaller, node: NodeOf, db: ReadDb, request_id: RequestId
) -> Response:
    """Show a request whole, and what one may do to it."""
    return _whole(request, node, caller, db, request_id)


@router.get("/{request_id}/plan")
def show_plan(
    request: Request,
    caller: PageCaller,
    node: NodeOf,
    db: ReadDb,
    request_id: RequestId,
    number: PageNumber = 1,
) -> Response:
    """Show a long plan, page by page."""
    found = requests.get(node, caller, db, request_id)
    paging = Paging(number, len(found.operations), LINES)
    return page(request, "request_plan.html", caller, it=found, paging=paging, before=offset(number, LINES))


@router.get("/{request_id}/history")
def show_history(
    request: Request,
    caller: PageCaller,
    node: NodeOf,
    db: ReadDb,
    request_id: RequestId,
    number: PageNumber = 1,
) -> Response:
    """Show a long history, page by page."""
    found = requests.get(node, caller, db, request_id)
    paging = Paging(number, len(found.events), EVENTS)
    return page(
        request, "request_history.html", caller, it=found, paging=paging, before=offset(number, EVENTS)
    )


@router.post("/{request_id}/comments")
def comment(
    request: Request,
    caller: FormCaller,
    node: NodeOf,
    request_id: RequestId,
    body: Annotated[RemarkIn, posted(RemarkIn)],
) -> Response:
    """Say something to a request."""
    requests.comment(node, caller, request_id, body.text)
    return done(request, f"/requests/{request_id}", "sent")


@router.post("/{request_id}/preview")
def preview(request: Request, caller: FormCaller, node: NodeOf, request_id: RequestId) -> Response:
    """Compute what the asker would get."""
    found = decisions.preview(node, caller, request_id)
    template = "preview.html" if is_fragment(request) else "preview_page.html"
    values = [(value, first_values(value)) for value in found.values]
    return page(
        request, template, caller, values=values, verdicts=found.verdicts, request_id=request_id, shown=SHOWN
    )


@router.post("/{request_id}/approve")
def approve(
    request: Request,
    caller: FormCaller,
    node: NodeOf,
    request_id: RequestId,
    form: Annotated[ApproveForm, posted(ApproveForm)],
) -> Response:
    """Agree to exactly what was shown."""
    decisions.approve(node, caller, request_id, form.checked())
    return done(request, f"/requests/{request_id}", "saved")


@router.post("/{request_id}/deny")
def deny(
    request: Request,
    caller: FormCaller,
    node: NodeOf,
    request_id: RequestId,
    body: Annotated[RemarkIn, posted(RemarkIn)],
) -> Response:
    """Say no, with a reason."""
    decisions.deny(node, caller, request_id, body.text)
    return done(request, f"/requests/{request_id}", "saved")


@router.post("/{request_id}/revoke")
def revoke(
    request: Request,
    caller: FormCaller,
    node: NodeOf,
    request_id: RequestId,
    body: Annotated[RemarkIn, posted(RemarkIn)],
) -> Response:
    """Take an approval back."""
    decisions.revoke(node, caller, request_id, body.text)
    return done(request, f"/requests/{request_id}", "saved")


@router.post("/{request_id}/withdraw")
def withdraw(
    request: Request,
    caller: FormCaller,
    node: NodeOf,
    request_id: RequestId,
    body: Annotated[RemarkIn, posted(RemarkIn)],
) -> Response:
    """Take one's own request back while it waits."""
    requests.withdraw(node, caller, request_id, body.text)
    return done(request, f"/requests/{request_id}", "saved")


def first_values(value: Tensor) -> list[str]:
    """Write the first values of a tensor, row by row."""
    flat = tensors.decode(value).flatten()[:SHOWN].tolist()
    return [f"{one:.9g}" if isinstance(one, float) else str(one) for one in flat]


def _whole(request: Request, node: Node, caller: Principal, db: Session, request_id: str) -> Response:
    found = requests.get(node, caller, db, request_id)
    may = decisions.acts(caller, db, found, node.clock())
    names = {source.dataset_id: source.name for source in found.sources}
    return page(
        request,
        "request.html",
        caller,
        it=found,
        acts=may,
        names=names,
        today=node.clock().date(),
        lines=LINES,
        events=EVENTS,
    )
