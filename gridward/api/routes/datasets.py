"""Routes of datasets."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from gridward.api.node import NodeOf
from gridward.api.services import dataset_versions, datasets, previews
from gridward.core.schemas.datasets import (
    ContentIn,
    DatasetIn,
    DatasetOut,
    DatasetPatch,
    DatasetsOut,
    DatasetVersionsOut,
    Tag,
)
from gridward.core.schemas.previews import AccessPreview, PreviewIn
from gridward.server.state import Caller, ReadDb

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])

DatasetId = Annotated[str, Path(max_length=64)]


@router.post("", status_code=201)
def publish_dataset(body: DatasetIn, caller: Caller, node: NodeOf) -> DatasetOut:
    """Publish a complete upload as a dataset."""
    return datasets.publish(node, caller, body)


@router.get("")
def list_datasets(
    caller: Caller,
    db: ReadDb,
    node: NodeOf,
    tag: Annotated[list[Tag], Query(default_factory=list, max_length=16, description="Tags that it has.")],
    name: Annotated[str | None, Query(max_length=64, description="Exact name.")] = None,
    q: Annotated[str, Query(max_length=200, description="Words of name and description, all of them.")] = "",
    offset: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> DatasetsOut:
    """List the datasets that one may discover."""
    return datasets.list_visible(node, caller, db, tag, name, offset, limit, q)


@router.get("/{dataset_id}")
def get_dataset(dataset_id: DatasetId, caller: Caller, db: ReadDb, node: NodeOf) -> DatasetOut:
    """Describe a dataset; never its values."""
    return datasets.get(node, caller, db, dataset_id)


@router.post("/{dataset_id}/preview")
def preview_access(dataset_id: DatasetId, body: PreviewIn, caller: Caller, node: NodeOf) -> AccessPreview:
    """Say what somebody would get of a dataset, and how a question of theirs would end; nothing is run."""
    return previews.preview(node, caller, dataset_id, body)


@router.patch("/{dataset_id}")
def change_dataset(dataset_id: DatasetId, body: DatasetPatch, caller: Caller, node: NodeOf) -> DatasetOut:
    """Change what is said of a dataset, or who may do what with it."""
    return datasets.change(node, caller, dataset_id, body)


@router.delete("/{dataset_id}", status_code=204)
def delete_dataset(dataset_id: DatasetId, caller: Caller, node: NodeOf) -> None:
    """Delete a dataset and its values."""
    datasets.remove(node, caller, dataset_id)


@router.put("/{dataset_id}/content")
def replace_dataset(dataset_id: DatasetId, body: ContentIn, caller: Caller, node: NodeOf) -> DatasetOut:
    """Put a complete upload in place of a dataset's values, as its next version."""
    return dataset_versions.replace(node, caller, dataset_id, body)


@router.get("/{dataset_id}/versions")
def list_dataset_versions(
    dataset_id: DatasetId, caller: Caller, db: ReadDb, node: NodeOf
) -> DatasetVersionsOut:
    """List the contents that a dataset had; for its publisher and the node's owner."""
    return dataset_versions.list_all(node, caller, db, dataset_id)
