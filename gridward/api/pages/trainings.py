"""Trainings: what runs and ran here, on whose order, on which data, and how it went."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from gridward.api.node import NodeOf
from gridward.api.services import training_records
from gridward.core.schemas.trainings import TrainingRecord, TrainingState
from gridward.server.pages.charts import thinned
from gridward.server.pages.guard import PageCaller
from gridward.server.pages.paging import SIZE, PageNumber, Paging, offset
from gridward.server.pages.shell import page

router = APIRouter(prefix="/trainings", include_in_schema=False)
TrainingId = Annotated[str, Path(max_length=64)]
_ROUNDS = 200


@router.get("")
def show_trainings(
    request: Request,
    caller: PageCaller,
    node: NodeOf,
    dataset_id: Annotated[str, Query(max_length=64)] = "",
    number: PageNumber = 1,
) -> Response:
    """List what was trained, the newest first."""
    found = training_records.list_visible(
        node, caller, dataset_id=dataset_id or None, offset=offset(number), limit=SIZE
    )
    paging = Paging(number, found.total)
    return page(request, "trainings.html", caller, found=found, paging=paging, dataset_id=dataset_id)


@router.get("/{training_id}")
def show_training(request: Request, caller: PageCaller, node: NodeOf, training_id: TrainingId) -> Response:
    """Show how one training went, and the rounds with the same plan before and after it."""
    it = training_records.get(node, caller, training_id)
    alike = training_records.list_visible(
        node,
        caller,
        dataset_id=it.dataset_id,
        plan_digest=it.plan_digest,
        started_by=it.started_by,
        limit=_ROUNDS,
    )
    rounds = list(reversed(alike.items))
    return page(
        request,
        "training.html",
        caller,
        it=it,
        curves=curves_of(it),
        rounds=rounds,
        total=alike.total,
        losses=losses_of(rounds),
    )


def curves_of(it: TrainingRecord) -> dict[str, list[tuple[int, float]]]:
    """Return the points of each value that every epoch tells, the loss first."""
    names = sorted(
        {name for item in it.history for name in item.values}, key=lambda name: (name != "loss", name)
    )
    told = {
        name: [(item.epoch + 1, item.values[name]) for item in it.history if name in item.values]
        for name in names
    }
    return {name: thinned(points) for name, points in told.items()}


def losses_of(rounds: list[TrainingRecord]) -> list[tuple[int, float]]:
    """Return the last loss of each round that ended well."""
    ended = [it for it in rounds if it.state is TrainingState.DONE and it.history]
    return [
        (number, it.history[-1].values["loss"])
        for number, it in enumerate(ended, 1)
        if "loss" in it.history[-1].values
    ]
