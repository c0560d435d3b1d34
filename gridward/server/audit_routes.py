"""Routes of the audit log, included by both services."""

from typing import Annotated, Final, TypeAlias

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import AfterValidator, AwareDatetime

from gridward.core.schemas.audit import DIGEST_PATTERN, AuditHead, AuditOut, AuditVerdictOut, in_utc
from gridward.server import audit_heads, audit_log
from gridward.server.principals import Capability
from gridward.server.state import AccountsOf, Caller

JSON_LINES: Final = "application/x-ndjson"


Moment: TypeAlias = Annotated[AwareDatetime, AfterValidator(in_utc)]
router = APIRouter(prefix="/v1/audit", tags=["audit"])


@router.get("")
def search_audit(
    caller: Caller,
    accounts: AccountsOf,
    actor: Annotated[str | None, Query(max_length=80)] = None,
    action: Annotated[str | None, Query(max_length=64)] = None,
    subject: Annotated[str | None, Query(max_length=200)] = None,
    decision: Annotated[str | None, Query(max_length=32)] = None,
    plan_digest: Annotated[str | None, Query(pattern=DIGEST_PATTERN)] = None,
    request_id: Annotated[str | None, Query(max_length=64)] = None,
    result_digest: Annotated[str | None, Query(pattern=DIGEST_PATTERN)] = None,
    since: Annotated[Moment | None, Query(description="RFC 3339, with a zone.")] = None,
    until: Annotated[Moment | None, Query(description="RFC 3339, with a zone; not included.")] = None,
    before: Annotated[int | None, Query(ge=1, le=2**53, description="Only smaller ids.")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> AuditOut:
    """Find entries, newest first; for those who may read the log."""
    return audit_log.search(
        accounts,
        caller,
        before=before,
        limit=limit,
        actor=actor,
        action=action,
        subject=subject,
        decision=decision,
        plan_digest=plan_digest,
        request_id=request_id,
        result_digest=result_digest,
        since=since,
        until=until,
    )


@router.get("/head")
def get_audit_head(caller: Caller, accounts: AccountsOf) -> AuditHead:
    """Sign what the last entry is now. Keep it elsewhere: it shows later whether entries were lost."""
    caller.require(Capability.READ_AUDIT)
    return audit_heads.head(accounts)


@router.get("/export", response_class=StreamingResponse, responses={200: {"content": {JSON_LINES: {}}}})
def export_audit(caller: Caller, accounts: AccountsOf) -> StreamingResponse:
    """Give the whole log as lines of JSON, first entry first; the last line is its signed head."""
    return StreamingResponse(audit_log.export(accounts, caller), media_type=JSON_LINES)


@router.get("/verdict")
def verify_audit(caller: Caller, accounts: AccountsOf) -> AuditVerdictOut:
    """Check the whole log against itself and the heads that the server kept. Reads every entry."""
    caller.require(Capability.READ_AUDIT)
    return audit_log.verify(accounts)
