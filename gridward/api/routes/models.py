"""Routes of hosted models."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import FileResponse

from gridward.api import parameters
from gridward.api.node import NodeOf
from gridward.api.services import exports, models
from gridward.core.schemas.models import (
    InferenceIn,
    InferenceOut,
    ModelIn,
    ModelOut,
    ModelsOut,
    ParametersIn,
    ParametersOut,
)
from gridward.core.schemas.plan import PlanDocument
from gridward.core.schemas.requests import ExportIn, RequestDetail
from gridward.core.schemas.uploads import MediaType
from gridward.server.state import Caller, ReadDb

router = APIRouter(prefix="/v1/models", tags=["models"])

ModelPath = Annotated[str, Path(max_length=64)]


@router.post("", status_code=201)
def publish_model(body: ModelIn, caller: Caller, node: NodeOf) -> ModelOut:
    """Host a model."""
    return models.publish(node, caller, body)


@router.get("")
def list_models(
    caller: Caller,
    db: ReadDb,
    node: NodeOf,
    tag: Annotated[list[str] | None, Query(max_length=64)] = None,
    offset: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> ModelsOut:
    """List the models that the caller may discover; all given tags must be there."""
    return models.list_visible(node, caller, db, tag or [], offset, limit)


@router.get("/{model_id}")
def get_model(model_id: ModelPath, caller: Caller, db: ReadDb, node: NodeOf) -> ModelOut:
    """Describe a model."""
    return models.get(node, caller, db, model_id)


@router.get("/{model_id}/plan")
def get_model_plan(model_id: ModelPath, caller: Caller, db: ReadDb, node: NodeOf) -> PlanDocument:
    """Return a model's plan: its architecture, without parameters."""
    return models.get_plan(node, caller, db, model_id)


@router.get("/{model_id}/parameters")
def get_model_parameters(model_id: ModelPath, caller: Caller, node: NodeOf) -> ParametersOut:
    """Release a model's parameters."""
    return models.get_parameters(node, caller, model_id)


@router.get(
    "/{model_id}/content",
    response_class=FileResponse,
    responses={200: {"content": {MediaType.SAFETENSORS.value: {}}}},
)
def get_model_content(
    model_id: ModelPath,
    caller: Caller,
    node: NodeOf,
    attempt: Annotated[
        str | None,
        Query(pattern=r"^[0-9a-f]{32}$", description="By a counted approval, the same attempt counts once."),
    ] = None,
) -> FileResponse:
    """Release a model's parameters as a file, of any size; a range resumes one that was cut."""
    return parameters.file_response(models.get_content(node, caller, model_id, attempt))


@router.post("/{model_id}/requests", status_code=201)
def ask_for_parameters(model_id: ModelPath, body: ExportIn, caller: Caller, node: NodeOf) -> RequestDetail:
    """Ask those who may open the data for parameters that were trained on it."""
    return exports.ask(node, caller, model_id, body)


@router.put("/{model_id}/parameters")
def put_model_parameters(model_id: ModelPath, body: ParametersIn, caller: Caller, node: NodeOf) -> ModelOut:
    """Replace a model's parameters by an upload."""
    return models.put_parameters(node, caller, model_id, body)


@router.post("/{model_id}/inference")
def query_model(model_id: ModelPath, body: InferenceIn, caller: Caller, node: NodeOf) -> InferenceOut:
    """Query a model in the clear."""
    return models.infer(node, caller, model_id, body)


@router.delete("/{model_id}", status_code=204)
def delete_model(model_id: ModelPath, caller: Caller, node: NodeOf) -> None:
    """Delete a model."""
    models.remove(node, caller, model_id)
