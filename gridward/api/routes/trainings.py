"""Routes of trainings."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import FileResponse

from gridward.api import parameters
from gridward.api.node import NodeOf
from gridward.api.services import training_records, trainings
from gridward.core.schemas.trainings import TrainingIn, TrainingOut, TrainingRecord, TrainingsOut
from gridward.core.schemas.uploads import MediaType
from gridward.server.state import Caller

router = APIRouter(prefix="/v1/trainings", tags=["trainings"])

TrainingId = Annotated[str, Path(max_length=64)]


@router.post("", status_code=201)
def start_training(body: TrainingIn, caller: Caller, node: NodeOf) -> TrainingOut:
    """Train in the background on a dataset of this node."""
    return trainings.start(node, caller, body)


@router.get("")
def list_trainings(
    caller: Caller,
    node: NodeOf,
    dataset_id: Annotated[str | None, Query(max_length=64)] = None,
    plan_digest: Annotated[str | None, Query(max_length=64)] = None,
    started_by: Annotated[str | None, Query(max_length=80)] = None,
    offset: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> TrainingsOut:
    """List trainings that one started, or that ran on data that one answers for; the newest first."""
    return training_records.list_visible(
        node,
        caller,
        dataset_id=dataset_id,
        plan_digest=plan_digest,
        started_by=started_by,
        offset=offset,
        limit=limit,
    )


@router.get("/{training_id}/record")
def get_training_record(training_id: TrainingId, caller: Caller, node: NodeOf) -> TrainingRecord:
    """Say who trained on what, and how it went; never parameters."""
    return training_records.get(node, caller, training_id)


@router.get("/{training_id}")
async def get_training(
    training_id: TrainingId,
    caller: Caller,
    node: NodeOf,
    wait_s: Annotated[float, Query(ge=0, le=60, description="Wait so long for news, seconds.")] = 0,
) -> TrainingOut:
    """Say where a training stands; its parameters, once it is done, if the caller may export them."""
    return await trainings.wait(node, caller, training_id, wait_s)


@router.get(
    "/{training_id}/content",
    response_class=FileResponse,
    responses={200: {"content": {MediaType.SAFETENSORS.value: {}}}},
)
def get_training_content(training_id: TrainingId, caller: Caller, node: NodeOf) -> FileResponse:
    """Release the trained parameters as a file; a range resumes one that was cut."""
    return parameters.file_response(trainings.content(node, caller, training_id))


@router.delete("/{training_id}", status_code=204)
def delete_training(training_id: TrainingId, caller: Caller, node: NodeOf) -> None:
    """Forget a training; one that still runs is cancelled."""
    trainings.remove(node, caller, training_id)
