"""What this node tells its gateways: the things whose owners made them discoverable, never values."""

from typing import Final

from sqlmodel import Session

from gridward.api import queries, queries_results
from gridward.core.schemas.gateway import CatalogueEntry, CatalogueIn
from gridward.core.schemas.tensor import TensorInfo
from gridward.server.principals import DISCOVER

# What a gateway takes (`CatalogueIn`); a node with more stays a member and shows the first.
_MOST_ENTRIES: Final = 10_000
_MOST_TENSORS: Final = 4096


def dataset_entries(db: Session) -> list[CatalogueEntry]:
    """Return an entry for every dataset whose `discover` list names somebody."""
    datasets = queries.all_datasets(db)
    lists: dict[str, list[str]] = {}
    for grant in queries.discover_grants(db):
        lists.setdefault(grant.dataset_id, []).append(grant.entry)
    return [
        CatalogueEntry(
            kind="dataset",
            id=dataset.id,
            name=dataset.name,
            description=dataset.description,
            tags=dataset.tags,
            rows=dataset.rows,
            tensors=[TensorInfo.model_validate(tensor) for tensor in dataset.tensors[:_MOST_TENSORS]],
            discover=sorted(lists[dataset.id]),
        )
        for dataset in datasets
        if dataset.id in lists
    ]


def model_entries(db: Session) -> list[CatalogueEntry]:
    """Return an entry for every model whose `discover` list names somebody."""
    models = queries_results.all_models(db)
    lists: dict[str, list[str]] = {}
    for grant in queries_results.model_grants(db, [model.id for model in models]):
        if grant.verb == DISCOVER:
            lists.setdefault(grant.model_id, []).append(grant.entry)
    return [
        CatalogueEntry(
            kind="model",
            id=model.id,
            name=model.id,
            description=model.description,
            tags=model.tags,
            discover=sorted(lists[model.id]),
        )
        for model in models
        if model.id in lists
    ]


def catalogue(db: Session) -> bytes:
    """Return the catalogue as it is sent: equal content has equal bytes, so a digest can name it.

    Beyond 10,000 entries the rest is left out, datasets before models.
    """
    entries = [*dataset_entries(db), *model_entries(db)][:_MOST_ENTRIES]
    return CatalogueIn(entries=entries).model_dump_json().encode()
