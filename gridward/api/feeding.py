"""From what a caller names to tensors at hand: where plan inputs come from, and what they tell of rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from sqlmodel import Session

from gridward.api import object_store, queries_results
from gridward.api.formats import tensor_file
from gridward.api.node import Node
from gridward.api.provenance import Behind
from gridward.api.tables.datasets import Dataset
from gridward.core.errors import ObjectNotFoundError, TooLargeError
from gridward.core.plans.dtypes import NAMES
from gridward.core.plans.executors.plain import bind
from gridward.core.plans.executors.rows import StoredRows
from gridward.core.plans.executors.shapes import propagate
from gridward.core.plans.plan import Plan
from gridward.core.privacy.analysis import Analysis, Feed, Level, analyse
from gridward.server.principals import Principal


@dataclass(frozen=True, slots=True)
class Fed:
    """Where a plan input comes from, what it tells of rows, and the datasets behind it."""

    path: Path
    tensor: str
    feed: Feed
    behind: tuple[Behind, ...]
    of_dataset: bool


def of_dataset(node: Node, dataset: Dataset, tensor: str | None) -> Fed:
    """A tensor of a dataset that the caller may see: its rows."""
    if tensor not in {item["name"] for item in dataset.tensors}:
        raise ObjectNotFoundError(f"dataset '{dataset.name}' has no tensor '{tensor}'")
    behind = Behind(dataset.id, dataset.version, dataset.rows)
    path = node.blobs.path(dataset.blob)
    return Fed(path, str(tensor), Feed(Level.ROWS, behind.table), (behind,), of_dataset=True)


def of_object(node: Node, caller: Principal, db: Session, object_id: str) -> Fed:
    """One of the caller's objects, with what was found when it was kept."""
    stored = queries_results.own_object(caller, db, object_id)
    if stored is None:
        raise ObjectNotFoundError(f"no object '{object_id}' of yours on this node")
    behind = tuple(
        Behind(row.dataset_id, row.version, row.rows)
        for row in queries_results.object_sources(db, [object_id])
    )
    feed = Feed(Level(stored.level), stored.row_table, stored.row_axis, stored.masked, stored.coded)
    return Fed(node.blobs.path(stored.blob), object_store.TENSOR, feed, behind, of_dataset=False)


def load(one: Fed) -> torch.Tensor:
    """Map a tensor from its blob; pages are read when the plan needs them."""
    try:
        with safe_open(one.path, framework="pt") as file:
            found = file.get_tensor(one.tensor)
    except (FileNotFoundError, SafetensorError) as why:
        raise ObjectNotFoundError("a source was deleted while the computation began") from why
    if not isinstance(found, torch.Tensor):
        raise TypeError("safetensors gave no tensor")
    return found


def locate(one: Fed) -> StoredRows:
    """Say where a tensor lies in its blob, for a worker that maps it. Raises ``ObjectNotFoundError``."""
    try:
        return tensor_file.locate(one.path, one.tensor)
    except FileNotFoundError as why:
        raise ObjectNotFoundError("the dataset was deleted or replaced while the training began") from why


def meta_values(plan: Plan, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Bind a plan to its inputs and find shape and dtype of every value; runs nothing.

    Raises:
        InvalidInputError: an input is missing, unknown, or of another dtype or shape than declared.
        PlanRejectedError: the shapes do not fit each other.
    """
    known = propagate(plan, bind(plan, inputs)).values
    return {name: value for name, value in known.items() if value is not None}


def analyse_plan(
    plan: Plan, values: Mapping[str, torch.Tensor], feeds: Mapping[str, Feed], *, counted: bool
) -> Analysis:
    """Follow the rows through a plan whose ``meta_values`` are known."""
    shapes = {name: tuple(value.shape) for name, value in values.items()}
    dtypes = {name: NAMES[value.dtype] for name, value in values.items()}
    return analyse(plan, feeds, shapes, dtypes, counted=counted)


def require_room(node: Node, plan: Plan, values: Mapping[str, torch.Tensor]) -> None:
    """Raise ``TooLargeError`` if the outputs of a plan do not fit into an answer."""
    total = sum(values[out.ref].numel() * values[out.ref].element_size() for out in plan.outputs)
    require_fits(node, total)


def require_fits(node: Node, size_bytes: int) -> None:
    """Raise ``TooLargeError`` if so many bytes do not fit into an answer."""
    limit = node.settings.body_max_bytes
    if size_bytes > limit:
        raise TooLargeError(f"an answer holds up to {limit} bytes; ask for less at once")
