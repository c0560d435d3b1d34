"""The audit log: found, checked, taken away."""

from datetime import UTC, datetime
from typing import Annotated, Final, TypeAlias

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field
from starlette.responses import Response

from gridward.core.schemas.audit import in_utc
from gridward.server import audit_heads, audit_log
from gridward.server.audit_routes import JSON_LINES
from gridward.server.pages.guard import FormCaller, PageCaller
from gridward.server.pages.shell import page
from gridward.server.principals import Capability
from gridward.server.state import AccountsOf

router = APIRouter(prefix="/audit", include_in_schema=False)
_SHOWN: Final = 50


def _given(words: object) -> object:
    return None if words == "" else words


def _utc(moment: datetime | None) -> datetime | None:
    if moment is None:
        return None
    return in_utc(moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment)


Words: TypeAlias = Annotated[str | None, BeforeValidator(_given)]
Moment: TypeAlias = Annotated[datetime | None, BeforeValidator(_given), AfterValidator(_utc)]


class Period(BaseModel):
    """A time that has a beginning, an end, both or neither. Times are UTC."""

    since: Moment = None
    until: Moment = None


class AuditSearch(Period):
    """What the form of the search asks for; empty fields ask for nothing."""

    actor: Words = Field(default=None, max_length=80)
    action: Words = Field(default=None, max_length=64)
    subject: Words = Field(default=None, max_length=200)
    decision: Words = Field(default=None, max_length=32)
    request_id: Words = Field(default=None, max_length=64)
    before: Annotated[int | None, BeforeValidator(_given)] = Field(default=None, ge=1, le=2**53)


@router.get("")
def show_audit(
    request: Request, caller: PageCaller, accounts: AccountsOf, wanted: Annotated[AuditSearch, Query()]
) -> Response:
    """Find entries, newest first."""
    found = audit_log.search(accounts, caller, limit=_SHOWN, **wanted.model_dump())
    return page(request, "audit.html", caller, found=found, wanted=wanted)


@router.get("/verdict")
def show_verdict(request: Request, caller: PageCaller, accounts: AccountsOf) -> Response:
    """Check the whole log, and sign what its last entry is now."""
    caller.require(Capability.READ_AUDIT)
    verdict, head = audit_log.verify(accounts), audit_heads.head(accounts)
    return page(request, "audit_verdict.html", caller, verdict=verdict, head=head)


@router.post("/export")
def export_audit(caller: FormCaller, accounts: AccountsOf) -> Response:
    """Give the whole log as a file; that is itself an entry, so it takes a form."""
    lines = audit_log.export(accounts, caller)
    name = f"audit-{accounts.keys.id[:8]}.jsonl"
    return StreamingResponse(
        lines, media_type=JSON_LINES, headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )
