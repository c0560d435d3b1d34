"""What is shown of a dataset: to whoever may discover it, and its rules to who manages it."""

from datetime import datetime

from sqlmodel import Session

from gridward.api import access, queries, queries_requests
from gridward.api.access import Ruled
from gridward.api.tables.datasets import Dataset
from gridward.api.tables.requests import StandingRule as StandingRuleRow
from gridward.core.privacy.access import DESCRIBE
from gridward.core.schemas.access import Access, Entry, Rule
from gridward.core.schemas.datasets import Bounds, DatasetOut, Disclosure, StandingRule
from gridward.core.schemas.tensor import TensorInfo
from gridward.server.principals import Principal


def describe(caller: Principal, db: Session, dataset: Dataset, now: datetime) -> DatasetOut:
    """Describe a dataset that the caller may discover, as far as they may describe it; never its values."""
    verbs = queries.dataset_verbs(caller, db, dataset, now)
    told = DESCRIBE in verbs
    rules, standing = None, None
    if queries.manages(caller, dataset):
        rules = _access(db, dataset)
        standing = [_standing(rule) for rule in queries_requests.standing_rules(db, dataset.id)]
    return DatasetOut(
        id=dataset.id,
        name=dataset.name,
        description=dataset.description if told else first_line(dataset.description),
        tags=dataset.tags,
        version=dataset.version,
        rows=dataset.rows if told else None,
        tensors=[TensorInfo.model_validate(tensor) for tensor in dataset.tensors if told],
        entity=dataset.entity if told else None,
        rows_are_entities=dataset.rows_are_entities if told else None,
        disclosure=Disclosure.model_validate(dataset.disclosure) if told else None,
        bounds={name: Bounds.model_validate(limits) for name, limits in dataset.bounds.items() if told},
        min_rows=dataset.min_rows if told else None,
        describe_apart=dataset.describe_apart,
        reviewers=dataset.reviewers,
        published_by=dataset.published_by,
        created_at=dataset.created_at,
        verbs=verbs,
        access=rules,
        standing_rules=standing,
    )


def first_line(description: str) -> str:
    """Return what whoever finds a dataset reads of its description."""
    return description.partition("\n")[0]


def _access(db: Session, dataset: Dataset) -> Access:
    """Return the lists of rules; nobody named to describe it is said apart from nobody having been named."""
    lists: dict[str, list[Entry | Rule] | None] = {DESCRIBE: [] if dataset.describe_apart else None}
    return Access.model_validate(lists | access.lists(access.rows_of(db, Ruled(dataset_id=dataset.id))))


def _standing(rule: StandingRuleRow) -> StandingRule:
    return StandingRule(
        user=rule.username,
        question=rule.question,
        request_id=rule.request_id,
        made_by=rule.made_by,
        made_at=rule.made_at,
    )
