"""Datasets and models by id, for callers who may know or change them; hidden and missing: one refusal."""

from datetime import datetime

from sqlmodel import Session

from gridward.api import queries, queries_results
from gridward.api.tables.datasets import Dataset
from gridward.api.tables.models import Model
from gridward.core.errors import AuthorizationError, ObjectNotFoundError
from gridward.core.privacy.access import DESCRIBE
from gridward.server.principals import Principal


def visible_dataset(caller: Principal, db: Session, dataset_id: str, now: datetime) -> Dataset:
    """Return a dataset that the caller may discover."""
    dataset = queries.visible_dataset(caller, db, dataset_id, now)
    if dataset is None:
        raise ObjectNotFoundError(f"no dataset '{dataset_id}' on this node")
    return dataset


def described_dataset(caller: Principal, db: Session, dataset_id: str, now: datetime) -> Dataset:
    """Return a dataset whose columns the caller may see: else no error says anything of them."""
    dataset = visible_dataset(caller, db, dataset_id, now)
    if DESCRIBE not in queries.dataset_rights(caller, db, dataset, now).verbs:
        raise AuthorizationError(
            f"you may find '{dataset.name}' and not see what it holds; ask {dataset.published_by}, who "
            "published it, to let you describe it"
        )
    return dataset


def managed_dataset(caller: Principal, db: Session, dataset_id: str, now: datetime) -> Dataset:
    """Return a dataset that the caller published, or any to the node's owner."""
    dataset = visible_dataset(caller, db, dataset_id, now)
    if not queries.manages(caller, dataset):
        raise AuthorizationError(f"only its publisher and the node's owner change '{dataset.name}'")
    return dataset


def visible_model(caller: Principal, db: Session, model_id: str, now: datetime) -> Model:
    """Return a model that the caller may discover."""
    model = queries_results.visible_model(caller, db, model_id, now)
    if model is None:
        raise ObjectNotFoundError(f"no model '{model_id}' on this node")
    return model


def hosted_model(caller: Principal, db: Session, model_id: str, now: datetime) -> Model:
    """Return a model that the caller hosts, or any to the node's owner."""
    model = visible_model(caller, db, model_id, now)
    if not queries_results.hosts(caller, model):
        raise AuthorizationError(f"only whoever hosts model '{model_id}' and the node's owner change it")
    return model
