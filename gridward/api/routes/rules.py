"""Routes of single rules of datasets and models."""

from typing import Annotated

from fastapi import APIRouter, Path

from gridward.api.access import Ruled
from gridward.api.node import NodeOf
from gridward.api.services import rules
from gridward.core.schemas.access import RuleIn, RuleOut, RulesOut
from gridward.server.state import Caller, ReadDb

of_datasets = APIRouter(prefix="/v1/datasets/{dataset_id}/rules", tags=["datasets"])
of_models = APIRouter(prefix="/v1/models/{model_id}/rules", tags=["models"])

Id = Annotated[str, Path(max_length=64)]


@of_datasets.get("")
def list_dataset_rules(dataset_id: Id, caller: Caller, db: ReadDb, node: NodeOf) -> RulesOut:
    """List the rules of a dataset with their uses; for its publisher and the node's owner."""
    return rules.list_all(node, caller, db, Ruled(dataset_id=dataset_id))


@of_datasets.post("", status_code=201)
def add_dataset_rule(dataset_id: Id, body: RuleIn, caller: Caller, node: NodeOf) -> RuleOut:
    """Add a rule to a dataset."""
    return rules.add(node, caller, Ruled(dataset_id=dataset_id), body)


@of_datasets.delete("/{rule_id}", status_code=204)
def end_dataset_rule(dataset_id: Id, rule_id: Id, caller: Caller, node: NodeOf) -> None:
    """End a rule of a dataset at once."""
    rules.end(node, caller, Ruled(dataset_id=dataset_id), rule_id)


@of_models.get("")
def list_model_rules(model_id: Id, caller: Caller, db: ReadDb, node: NodeOf) -> RulesOut:
    """List the rules of a model with their uses; for whoever hosts it and the node's owner."""
    return rules.list_all(node, caller, db, Ruled(model_id=model_id))


@of_models.post("", status_code=201)
def add_model_rule(model_id: Id, body: RuleIn, caller: Caller, node: NodeOf) -> RuleOut:
    """Add a rule to a model."""
    return rules.add(node, caller, Ruled(model_id=model_id), body)


@of_models.delete("/{rule_id}", status_code=204)
def end_model_rule(model_id: Id, rule_id: Id, caller: Caller, node: NodeOf) -> None:
    """End a rule of a model at once."""
    rules.end(node, caller, Ruled(model_id=model_id), rule_id)
