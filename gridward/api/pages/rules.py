"""Rules of datasets and models one by one, and what somebody would get by them."""

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel
from starlette.responses import Response

from gridward.api.access import Ruled
from gridward.api.node import NodeOf
from gridward.api.services import previews, rules
from gridward.core.schemas.access import RuleIn
from gridward.core.schemas.previews import PreviewIn
from gridward.server.pages.forms import checked, midnight_after, posted
from gridward.server.pages.guard import FormCaller
from gridward.server.pages.shell import done, is_fragment, page

router = APIRouter(include_in_schema=False)
DatasetId = Annotated[str, Path(max_length=64)]
ModelPath = Annotated[str, Path(max_length=64)]
RuleId = Annotated[str, Path(max_length=64)]


class RuleForm(BaseModel):
    """One more rule; the last day ends at midnight, UTC."""

    verb: str = ""
    who: str = ""
    last_day: date | None = None
    times: str | None = None
    min_rows: str | None = None
    min_entities: str | None = None
    plan: str | None = None

    def checked(self) -> RuleIn:
        """Return it as REST takes it."""
        given: dict[str, Any] = self.model_dump(exclude={"last_day"}, exclude_none=True)
        return checked(RuleIn, given | {"until": midnight_after(self.last_day)})


Rule = Annotated[RuleForm, posted(RuleForm)]


@router.post("/datasets/{dataset_id}/rules")
def add_to_dataset(
    request: Request, caller: FormCaller, node: NodeOf, dataset_id: DatasetId, form: Rule
) -> Response:
    """Add a rule to a dataset."""
    rules.add(node, caller, Ruled(dataset_id=dataset_id), form.checked())
    return done(request, f"/datasets/{dataset_id}", "saved")


@router.post("/datasets/{dataset_id}/rules/{rule_id}/end")
def end_of_dataset(
    request: Request, caller: FormCaller, node: NodeOf, dataset_id: DatasetId, rule_id: RuleId
) -> Response:
    """End a rule of a dataset at once."""
    rules.end(node, caller, Ruled(dataset_id=dataset_id), rule_id)
    return done(request, f"/datasets/{dataset_id}", "ended")


@router.post("/models/{model_id}/rules")
def add_to_model(
    request: Request, caller: FormCaller, node: NodeOf, model_id: ModelPath, form: Rule
) -> Response:
    """Add a rule to a model."""
    rules.add(node, caller, Ruled(model_id=model_id), form.checked())
    return done(request, f"/models/{model_id}", "saved")


@router.post("/models/{model_id}/rules/{rule_id}/end")
def end_of_model(
    request: Request, caller: FormCaller, node: NodeOf, model_id: ModelPath, rule_id: RuleId
) -> Response:
    """End a rule of a model at once."""
    rules.end(node, caller, Ruled(model_id=model_id), rule_id)
    return done(request, f"/models/{model_id}", "ended")


@router.post("/datasets/{dataset_id}/preview")
def preview(
    request: Request,
    caller: FormCaller,
    node: NodeOf,
    dataset_id: DatasetId,
    body: Annotated[PreviewIn, posted(PreviewIn)],
) -> Response:
    """Say what somebody would get of a dataset."""
    seen = previews.preview(node, caller, dataset_id, body)
    template = "access_preview.html" if is_fragment(request) else "access_preview_page.html"
    return page(request, template, caller, seen=seen, dataset_id=dataset_id)
