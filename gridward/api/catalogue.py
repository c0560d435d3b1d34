"""What this node tells its gateways: the things whose owners made them discoverable, never values."""

from collections.abc import Callable
from datetime import datetime
from operator import attrgetter
from typing import Final

from sqlmodel import Session

from gridward.api import queries, queries_access, queries_results
from gridward.api.dataset_views import first_line
from gridward.api.tables.datasets import Dataset
from gridward.api.tables.rules import AccessRule
from gridward.core.schemas.gateway import CatalogueEntry, CatalogueIn
from gridward.core.schemas.tensor import TensorInfo

# What a gateway takes (`CatalogueIn`); a node with more stays a member and shows the first.
_MOST_ENTRIES: Final = 10_000
_MOST_TENSORS: Final = 4096
_MOST_NAMES: Final = 1000


def dataset_entries(db: Session, now: datetime) -> list[CatalogueEntry]:
    """Return an entry for every dataset that a rule lets somebody discover.

    A gateway is told no columns and counts that whoever finds the dataset does not see.
    """
    lists = _discover_lists(db, now, attrgetter("dataset_id"))
    return [
        CatalogueEntry(
            kind="dataset",
            id=dataset.id,
            name=dataset.name,
            description=first_line(dataset.description) if dataset.describe_apart else dataset.description,
            tags=dataset.tags,
            rows=None if dataset.describe_apart else dataset.rows,
            tensors=[TensorInfo.model_validate(tensor) for tensor in _shown(dataset)],
            discover=lists[dataset.id],
        )
        for dataset in queries.all_datasets(db)
        if dataset.id in lists
    ]


def _shown(dataset: Dataset) -> list[dict[str, object]]:
    return [] if dataset.describe_apart else dataset.tensors[:_MOST_TENSORS]


def model_entries(db: Session, now: datetime) -> list[CatalogueEntry]:
    """Return an entry for every model that a rule lets somebody discover."""
    lists = _discover_lists(db, now, attrgetter("model_id"))
    return [
        CatalogueEntry(
            kind="model",
            id=model.id,
            name=model.id,
            description=model.description,
            tags=model.tags,
            discover=lists[model.id],
        )
        for model in queries_results.all_models(db)
        if model.id in lists
    ]


def _discover_lists(
    db: Session, now: datetime, about: Callable[[AccessRule], str | None]
) -> dict[str, list[str]]:
    """Names by what they may discover; a gateway knows no groups: it is told of the identities in them."""
    members = queries_access.identities_in_groups(db)
    lists: dict[str, set[str]] = {}
    for rule in queries_access.discover_rules(db, now):
        names = [rule.entry] if rule.group_name is None else members.get(rule.group_name, [])
        if (found := about(rule)) is not None:
            lists.setdefault(found, set()).update(names)
    return {found: sorted(names)[:_MOST_NAMES] for found, names in lists.items() if names}


def catalogue(db: Session, now: datetime) -> bytes:
    """Return the catalogue as it is sent: equal content has equal bytes, so a digest can name it.

    Beyond 10,000 entries the rest is left out, datasets before models.
    """
    entries = [*dataset_entries(db, now), *model_entries(db, now)][:_MOST_ENTRIES]
    return CatalogueIn(entries=entries).model_dump_json().encode()
