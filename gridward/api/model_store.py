"""Models on disk and in rows: their parameters, and the datasets behind these."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from sqlmodel import Session, col, delete

from gridward.api import parameters, queries_results, storage
from gridward.api.node import Node
from gridward.api.provenance import Behind
from gridward.api.tables.models import Model, ModelSource
from gridward.core.errors import ConflictError
from gridward.core.plans import codec
from gridward.server.blobs import Seal


def behind_models(db: Session, model_ids: Sequence[str]) -> tuple[Behind, ...]:
    """Datasets that the models' parameters were trained on."""
    rows = queries_results.model_sources(db, model_ids)
    return tuple(sorted({Behind(row.dataset_id, row.version, row.rows) for row in rows}))


def load(node: Node, model: Model) -> dict[str, torch.Tensor]:
    """Map a model's parameters; raises ``ConflictError`` if the node holds none."""
    return parameters.read(path_of(node, model), codec.from_dict(model.plan))


def path_of(node: Node, model: Model) -> Path:
    """Return the file of a model's parameters; raises ``ConflictError`` if the node holds none."""
    if model.blob is None:
        raise ConflictError(
            f"this node holds no parameters of model '{model.id}'; it is served encrypted only"
        )
    return node.blobs.path(model.blob)


def replace_parameters(
    node: Node, db: Session, model: Model, seal: Seal, behind: Iterable[Behind]
) -> list[str]:
    """Give a model new parameters and their provenance within a transaction; returns blobs to collect."""
    used_by = f"model:{model.id}"
    unused = storage.drop(db, used_by)
    db.exec(delete(ModelSource).where(col(ModelSource.model_id) == model.id))
    db.flush()
    storage.keep(node, db, seal, used_by=used_by, user_id=model.user_id)
    db.add_all(
        ModelSource(model_id=model.id, dataset_id=item.dataset_id, version=item.version, rows=item.rows)
        for item in behind
    )
    model.blob = seal.sha256
    db.add(model)
    return [digest for digest in unused if digest != seal.sha256]
