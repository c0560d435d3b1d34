"""The Five-Safes report, as a file that people read."""

from typing import Annotated

from fastapi import APIRouter, Request
from starlette.responses import Response

from gridward.api.node import NodeOf
from gridward.api.services import reports
from gridward.core.reports import markdown
from gridward.server.pages.audit import Period
from gridward.server.pages.forms import posted
from gridward.server.pages.guard import FormCaller

router = APIRouter(prefix="/audit", include_in_schema=False)


@router.post("/five-safes")
def report_five_safes(
    request: Request, caller: FormCaller, node: NodeOf, period: Annotated[Period, posted(Period)]
) -> Response:
    """Give the report on a period, or on everything; that is itself an entry of the log."""
    text = markdown(reports.five_safes(node, caller, period.since, period.until))
    name = f"five-safes-{node.clock():%Y-%m-%d}.md"
    return Response(
        text,
        media_type="text/markdown; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
