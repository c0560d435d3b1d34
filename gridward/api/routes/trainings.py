"""Routes of trainings."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from gridward.api.node import NodeOf
from gridward.api.services import trainings
from gridward.core.schemas.trainings import TrainingIn, TrainingOut
from gridward.server.state import Caller

router = APIRouter(prefix="/v1/trainings", tags=["trainings"])

TrainingId = Annotated[str, Path(max_length=64)]


@router.post("", status_code=201)
def start_training(body: TrainingIn, caller: Caller, node: NodeOf) -> TrainingOut:
    """Train in the background on a dataset of this node."""
    return trainings.start(node, caller, body)


@router.get("/{training_id}")
async def get_training(
    training_id: TrainingId,
    caller: Caller,
    node: NodeOf,
    wait_s: Annotated[float, Query(ge=0, le=60, description="Wait so long for news, seconds.")] = 0,
) -> TrainingOut:
    """Say where a training stands; its parameters, once it is done, if the caller may export them."""
    return await trainings.wait(node, caller, training_id, wait_s)


@router.delete("/{training_id}", status_code=204)
def delete_training(training_id: TrainingId, caller: Caller, node: NodeOf) -> None:
    """Forget a training that has ended."""
    trainings.remove(node, caller, training_id)
