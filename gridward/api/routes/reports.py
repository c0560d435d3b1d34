"""Reports on the node, for those who may read its audit log."""

from typing import Annotated

from fastapi import APIRouter, Query

from gridward.api.node import NodeOf
from gridward.api.services import reports
from gridward.core.schemas.reports import FiveSafesOut
from gridward.server.audit_routes import Moment
from gridward.server.state import Caller

router = APIRouter(prefix="/v1/reports", tags=["audit"])


@router.get("/five-safes")
def report_five_safes(
    caller: Caller,
    node: NodeOf,
    since: Annotated[Moment | None, Query(description="RFC 3339, with a zone.")] = None,
    until: Annotated[Moment | None, Query(description="RFC 3339, with a zone; not included.")] = None,
) -> FiveSafesOut:
    """Report on projects, people, settings, data and outputs, with the verified head of the log."""
    return reports.five_safes(node, caller, since, until)
