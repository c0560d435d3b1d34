"""Versions of a dataset: the next content takes the place of the one before, under the same rules.

What was asked of a version binds to it: a request, an approval or a value made of it names `id@version`, and
a request for a version that is gone cannot be approved any more. Standing rules go on: they speak of the
question, whatever the rows are. Two versions that differ by few rows can be told apart by two aggregates;
thresholds do not stop that.
"""

from typing import BinaryIO

from sqlmodel import Session

from gridward.api import queries, storage
from gridward.api.content import convert_upload, usable_upload
from gridward.api.entities import entities_of
from gridward.api.formats.columns import Choice
from gridward.api.formats.tensor_file import Spec
from gridward.api.managed import managed_dataset
from gridward.api.node import Node
from gridward.api.services import uploads
from gridward.api.services.datasets import get, specs_of, version_of
from gridward.api.tables.accounts import AuditEntry
from gridward.api.tables.datasets import Dataset, Upload
from gridward.core.errors import ConflictError, UploadRefusedError
from gridward.core.schemas.datasets import ContentIn, DatasetOut, DatasetVersion, DatasetVersionsOut
from gridward.core.schemas.tensor import TensorInfo
from gridward.core.schemas.uploads import MediaType
from gridward.server import audit
from gridward.server.blobs import Seal
from gridward.server.principals import Principal


def replace(node: Node, caller: Principal, dataset_id: str, body: ContentIn) -> DatasetOut:
    """Put an upload in place of a dataset's values; the upload is used up, columns it does not have are left.

    For the publisher and the node's owner. Raises `UploadRefusedError` unless every column is there with
    values of its type and shape, `ConflictError` if another content came first.
    """
    with node.blobs.lock(body.upload_id), node.blobs.scratch() as values, node.blobs.scratch() as entities:
        with node.database.read() as db:
            dataset = managed_dataset(caller, db, dataset_id, node.clock())
            upload = usable_upload(caller, db, body.upload_id)
        held = specs_of(dataset)
        choice = Choice(dataset.entity, {name: spec.dtype for name, spec in held.items()}, frozenset(held))
        found = convert_upload(node, upload, body.columns, choice, values, entities)
        _require_same_columns(held, found)
        seals = [node.blobs.seal(values), *([node.blobs.seal(entities)] if dataset.entity else [])]
        with node.database.write() as db:
            current = managed_dataset(caller, db, dataset_id, node.clock())
            if current.version != dataset.version:
                raise ConflictError("another content was put in its place meanwhile; look at it first")
            unused = _put(node, db, caller, current, found, seals)
            db.delete(db.get_one(Upload, upload.id))
        node.blobs.part(upload.id).unlink(missing_ok=True)
    storage.collect(node, unused)
    node.catalogue_changed.ring()
    with node.database.read() as db:
        return get(node, caller, db, dataset_id)


def replace_by_file(
    node: Node, caller: Principal, dataset_id: str, file: BinaryIO, media_type: MediaType
) -> DatasetOut:
    """Put a file that has arrived in place of a dataset's values; nothing of it stays if it is refused.

    Raises what `replace` and `uploads.take` do; who may not is told so before the file is stored.
    """
    with node.database.read() as db:
        managed_dataset(caller, db, dataset_id, node.clock())
    sent = uploads.take(node, caller, file, media_type)
    with uploads.dropped_if_refused(node, caller, sent.id):
        return replace(node, caller, dataset_id, ContentIn(upload_id=sent.id))


def list_all(node: Node, caller: Principal, db: Session, dataset_id: str) -> DatasetVersionsOut:
    """List the contents that a dataset had; for the publisher and the node's owner."""
    managed_dataset(caller, db, dataset_id, node.clock())
    rows = queries.versions_of(db, dataset_id)
    return DatasetVersionsOut(
        items=[
            DatasetVersion(
                version=row.version,
                rows=row.rows,
                entities=row.entities,
                put_by=row.put_by,
                put_at=row.put_at,
            )
            for row in rows
        ]
    )


def _require_same_columns(held: dict[str, Spec], found: dict[str, Spec]) -> None:
    missing = sorted(held.keys() - found.keys())
    if missing:
        raise UploadRefusedError(
            f"the file has no column '{missing[0]}'; a version has those of the one before"
        )
    for name, spec in held.items():
        if found[name].shape[1:] != spec.shape[1:]:
            raise UploadRefusedError(f"'{name}' has other sizes a row than in the version before")


def _put(
    node: Node, db: Session, caller: Principal, dataset: Dataset, found: dict[str, Spec], seals: list[Seal]
) -> list[str]:
    at = node.clock()
    dataset.tensors = [
        TensorInfo(name=name, dtype=found[name].dtype, shape=list(found[name].shape)).model_dump()
        for name in specs_of(dataset)
    ]
    dataset.version += 1
    dataset.rows = next(iter(found.values())).shape[0]
    dataset.blob = seals[0].sha256
    dataset.entity_blob = None
    if len(seals) > 1:
        dataset.entity_blob = seals[1].sha256
        dataset.entities, dataset.most_rows = entities_of(seals[1].path)
    unused = storage.drop(db, dataset.id)
    db.add_all([dataset, version_of(dataset, caller, at)])
    db.flush()
    for seal in seals:
        storage.keep(node, db, seal, used_by=dataset.id, user_id=dataset.user_id)
    said = f"version {dataset.version}, {dataset.rows} rows"
    audit.record(db, AuditEntry, caller, at, "replace_dataset", dataset.id, reason=said)
    return unused
