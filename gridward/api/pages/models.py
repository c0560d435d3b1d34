"""Models: the list, one of them with its plan, and who holds what where it is served encrypted."""

from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from gridward.api.access import Ruled
from gridward.api.node import NodeOf
from gridward.api.pages.dataset_forms import SearchText
from gridward.api.services import deployments, models, rules
from gridward.core.plans import codec, readable
from gridward.core.schemas.access import ModelAccess
from gridward.core.schemas.plan import PlanDocument
from gridward.core.schemas.tensor import DTypeName, TensorInfo
from gridward.server.pages.guard import FormCaller, PageCaller
from gridward.server.pages.paging import SIZE, PageNumber, Paging, offset
from gridward.server.pages.shell import done, page
from gridward.server.state import ReadDb

router = APIRouter(prefix="/models", include_in_schema=False)
ModelPath = Annotated[str, Path(max_length=64)]
DeploymentPath = Annotated[str, Path(pattern=r"^[a-z0-9]{16,32}$")]
VERBS: Final = {name: field.description for name, field in ModelAccess.model_fields.items()}
_SHOWN: Final = 400
_ITEM_BYTES: Final[dict[DTypeName, int]] = {
    "float32": 4,
    "float64": 8,
    "int32": 4,
    "int64": 8,
    "uint8": 1,
    "bool": 1,
}


@router.get("")
def show_models(
    request: Request,
    caller: PageCaller,
    node: NodeOf,
    db: ReadDb,
    q: Annotated[str, Query(max_length=200)] = "",
    number: PageNumber = 1,
) -> Response:
    """List the models that one may discover."""
    found = models.list_visible(node, caller, db, SearchText.of(q).tags, offset(number), SIZE)
    return page(request, "models.html", caller, found=found, paging=Paging(number, found.total), q=q)


@router.get("/{model_id}")
def show_model(
    request: Request, caller: PageCaller, node: NodeOf, db: ReadDb, model_id: ModelPath
) -> Response:
    """Show a model's plan and, if it is served encrypted, its roles and what a query costs."""
    it = models.get(node, caller, db, model_id)
    lines = plan_lines(models.get_plan(node, caller, db, model_id))
    deployed = deployments.describe(node, caller, model_id) if it.deployment_id else None
    manages = caller.owner or it.hosted_by == caller.name
    ruled = rules.list_all(node, caller, db, Ruled(model_id=model_id)).items if manages else []
    return page(
        request,
        "model.html",
        caller,
        it=it,
        deployed=deployed,
        lines=lines[:_SHOWN],
        more=len(lines) - _SHOWN,
        parameter_bytes=sum(map(bytes_of, it.parameters)),
        manages=manages,
        rules=ruled,
        verbs=VERBS,
        url=node.settings.url(),
    )


@router.get("/{model_id}/stock")
def show_stock(request: Request, caller: PageCaller, node: NodeOf, model_id: ModelPath) -> Response:
    """Ask the parties of an encrypted model what is left with them, and show it."""
    found = deployments.stock(node, caller, model_id)
    return page(request, "model_stock.html", caller, model_id=model_id, found=found)


@router.post("/{model_id}/delete")
def delete(request: Request, caller: FormCaller, node: NodeOf, model_id: ModelPath) -> Response:
    """Delete a model and end its encrypted deployments."""
    models.remove(node, caller, model_id)
    return done(request, "/models", "deleted")


@router.post("/{model_id}/deployments/{deployment_id}/withdraw")
def withdraw(
    request: Request, caller: FormCaller, node: NodeOf, model_id: ModelPath, deployment_id: DeploymentPath
) -> Response:
    """End an encrypted deployment everywhere; the plan stays."""
    deployments.withdraw(node, caller, deployment_id)
    return done(request, f"/models/{model_id}", "ended")


def plan_lines(document: PlanDocument) -> list[str]:
    """Write a plan line by line, its inputs with their types; size 0 stands for the batch."""
    plan = codec.from_dict(document.model_dump(mode="json", by_alias=True, exclude_none=True))
    types = {
        given.name: (given.dtype, tuple(size if isinstance(size, int) else 0 for size in given.shape))
        for given in plan.inputs
    }
    return readable.lines(plan, types, {given.name: given.role.value for given in plan.inputs})


def bytes_of(info: TensorInfo) -> int:
    """Return the size of a tensor's values."""
    count = 1
    for extent in info.shape:
        count *= extent
    return count * _ITEM_BYTES[info.dtype]
