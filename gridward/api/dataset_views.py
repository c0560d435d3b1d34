"""What is shown of a dataset: to whoever may discover it, and its rules to who manages it."""

from datetime import datetime

from sqlmodel import Session

from gridward.api import access, queries, queries_requests
from gridward.api.access import Ruled
from gridward.api.tables.datasets import Dataset
from gridward.api.tables.requests import StandingRule as StandingRuleRow
from gridward.core.schemas.access import Access
from gridward.core.schemas.datasets import Bounds, DatasetOut, Disclosure, StandingRule
from gridward.core.schemas.tensor import TensorInfo
from gridward.server.principals import Principal


def describe(caller: Principal, db: Session, dataset: Dataset, now: datetime) -> DatasetOut:
    """Describe a dataset that the caller may discover; never its values."""
    rules, standing = None, None
    if queries.manages(caller, dataset):
        rules = Access.model_validate(access.lists(access.rows_of(db, Ruled(dataset_id=dataset.id))))
        standing = [_standing(rule) for rule in queries_requests.standing_rules(db, dataset.id)]
    return DatasetOut(
        id=dataset.id,
        name=dataset.name,
        description=dataset.description,
        tags=dataset.tags,
        version=dataset.version,
        rows=dataset.rows,
        tensors=[TensorInfo.model_validate(tensor) for tensor in dataset.tensors],
        entity=dataset.entity,
        rows_are_entities=dataset.rows_are_entities,
        disclosure=Disclosure.model_validate(dataset.disclosure),
        bounds={name: Bounds.model_validate(limits) for name, limits in dataset.bounds.items()},
        min_rows=dataset.min_rows,
        reviewers=dataset.reviewers,
        published_by=dataset.published_by,
        created_at=dataset.created_at,
        verbs=queries.dataset_verbs(caller, db, dataset, now),
        access=rules,
        standing_rules=standing,
    )


def _standing(rule: StandingRuleRow) -> StandingRule:
    return StandingRule(
        user=rule.username,
        question=rule.question,
        request_id=rule.request_id,
        made_by=rule.made_by,
        made_at=rule.made_at,
    )
