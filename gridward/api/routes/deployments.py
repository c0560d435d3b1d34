"""Encrypted models hosted here: the plan and who may ask; parameters are shared out to the parties."""

from typing import Annotated

from fastapi import APIRouter, Path

from gridward.api.node import NodeOf
from gridward.api.services import deployments
from gridward.core.schemas.bundles import ModelStockOut
from gridward.core.schemas.deployments import ActivationIn, DeploymentIn, DeploymentOut, QueryIn, QueryOut
from gridward.server.state import Caller

router = APIRouter(prefix="/v1", tags=["deployments"])

DeploymentPath = Annotated[str, Path(pattern=r"^[a-z0-9]{16,32}$")]
ModelPath = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


@router.post("/deployments", status_code=201)
def propose_deployment(body: DeploymentIn, node: NodeOf, caller: Caller) -> DeploymentOut:
    """Find parties and provider, and ask each to take its role; answers with grants for the shares."""
    return deployments.propose(node, caller, body)


@router.post("/deployments/{deployment_id}/activation")
def activate_deployment(
    deployment_id: DeploymentPath, body: ActivationIn, node: NodeOf, caller: Caller
) -> DeploymentOut:
    """All shares are delivered: let the parties open the masked weights, and serve."""
    return deployments.activate(node, caller, deployment_id, body)


@router.delete("/deployments/{deployment_id}", status_code=204)
def withdraw_deployment(deployment_id: DeploymentPath, node: NodeOf, caller: Caller) -> None:
    """End a deployment everywhere; parties and provider wipe what they hold."""
    deployments.withdraw(node, caller, deployment_id)


@router.get("/models/{model_id}/deployment")
def describe_deployment(model_id: ModelPath, node: NodeOf, caller: Caller) -> DeploymentOut:
    """Say who holds what of an encrypted model, and what a query costs."""
    return deployments.describe(node, caller, model_id)


@router.get("/models/{model_id}/stock")
def show_stock(model_id: ModelPath, node: NodeOf, caller: Caller) -> ModelStockOut:
    """Ask the parties how many bundles are left with each. For who hosts the model."""
    return deployments.stock(node, caller, model_id)


@router.post("/models/{model_id}/queries", status_code=201)
def grant_query(model_id: ModelPath, body: QueryIn, node: NodeOf, caller: Caller) -> QueryOut:
    """Leave to run one encrypted query; the input goes masked to the parties, never here."""
    return deployments.grant_query(node, caller, model_id, body)
