"""Stored tensors on disk and in rows: how one is kept with its provenance, and described without values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from safetensors.torch import save_file

from gridward.api import storage
from gridward.api.node import Node
from gridward.api.provenance import Behind
from gridward.api.tables.accounts import AuditEntry
from gridward.api.tables.objects import ObjectSource, StoredObject
from gridward.core import tensors
from gridward.core.privacy.analysis import Finding, Level
from gridward.core.schemas.objects import ObjectOut, Provenance
from gridward.core.schemas.tensor import TensorInfo
from gridward.server import audit
from gridward.server.ids import new_id
from gridward.server.principals import Principal

TENSOR: Final = "value"


@dataclass(frozen=True, slots=True)
class Content:
    """A tensor to be stored, and what it tells of rows."""

    name: str
    values: torch.Tensor
    finding: Finding
    plan_digest: str | None = None
    description: str = ""
    tags: tuple[str, ...] = ()


def keep(node: Node, caller: Principal, content: Content, behind: Sequence[Behind]) -> ObjectOut:
    """Store a tensor for the caller; values are on disk before its row is. Raises beyond the quota."""
    user_id = caller.user_id or ""
    stored = StoredObject(
        id=new_id("obj"),
        user_id=user_id,
        stored_by=caller.name,
        name=content.name,
        dtype=tensors.info(content.name, content.values).dtype,
        shape=list(content.values.shape),
        blob="",
        description=content.description,
        tags=list(content.tags),
        level=content.finding.level.value,
        row_table=content.finding.table,
        row_axis=content.finding.axis,
        masked=content.finding.masked,
        coded=content.finding.coded,
        plan_digest=content.plan_digest,
        created_at=node.clock(),
    )
    sources = [
        ObjectSource(object_id=stored.id, dataset_id=item.dataset_id, version=item.version, rows=item.rows)
        for item in behind
    ]
    with node.blobs.scratch() as path:
        save_file({TENSOR: content.values.contiguous()}, path)
        seal = node.blobs.seal(path)
        stored.blob = seal.sha256
        with node.database.write() as db:
            db.add(stored)
            db.flush()
            db.add_all(sources)
            storage.keep(node, db, seal, used_by=stored.id, user_id=user_id)
            audit.record(db, AuditEntry, caller, node.clock(), "store_object", stored.id)
    return describe(stored, sources)


def describe(stored: StoredObject, sources: Sequence[ObjectSource]) -> ObjectOut:
    """Say of an object what may be known without its values."""
    info = TensorInfo.model_validate({"name": stored.name, "dtype": stored.dtype, "shape": stored.shape})
    provenance = Provenance(
        plan_digest=stored.plan_digest,
        datasets=sorted(f"{row.dataset_id}@{row.version}" for row in sources),
        rows=stored.level == Level.ROWS.value,
    )
    return ObjectOut(
        id=stored.id,
        tensor=info,
        description=stored.description,
        tags=stored.tags,
        stored_by=stored.stored_by,
        provenance=provenance,
        created_at=stored.created_at,
    )
