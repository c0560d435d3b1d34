"""Datasets: publish, find, describe, change the rules, delete. Values leave through releases only."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from sqlmodel import Session, col, func, select

from gridward.api import access, queries, storage
from gridward.api.access import Ruled
from gridward.api.content import convert_upload, usable_upload
from gridward.api.dataset_views import describe
from gridward.api.entities import entities_of
from gridward.api.formats.columns import Choice
from gridward.api.formats.tensor_file import Spec
from gridward.api.managed import managed_dataset, visible_dataset
from gridward.api.node import Node
from gridward.api.tables.accounts import AuditEntry
from gridward.api.tables.datasets import Dataset, DatasetVersion, Upload
from gridward.core.errors import (
    AlreadyExistsError,
    InvalidInputError,
    SendNotPermittedError,
)
from gridward.core.schemas.datasets import (
    Bounds,
    DatasetIn,
    DatasetOut,
    DatasetPatch,
    DatasetsOut,
)
from gridward.core.schemas.tensor import TensorInfo
from gridward.server import audit
from gridward.server.ids import new_id
from gridward.server.principals import Capability, Principal


def publish(node: Node, caller: Principal, body: DatasetIn) -> DatasetOut:
    """Make a dataset of a complete upload; the upload is used up.

    Raises `SendNotPermittedError` without the capability, `UploadRefusedError` if the file is not what it
    claims to be, `AlreadyExistsError` if the caller has a dataset of this name.
    """
    if caller.user_id is None or not caller.may(Capability.PUBLISH):
        raise SendNotPermittedError(f"'{caller.name}' may not publish datasets here; ask its owner")
    with node.blobs.lock(body.upload_id), node.blobs.scratch() as values, node.blobs.scratch() as entities:
        with node.database.read() as db:
            upload = usable_upload(caller, db, body.upload_id)
            _require_free_name(db, caller.user_id, body.name)
        _require_one_unit(body.entity, body.rows_are_entities)
        choice = Choice(body.entity, body.types)
        specs = convert_upload(node, upload, body.columns, choice, values, entities)
        _check_bounds(body.bounds, specs)
        dataset = _store(node, caller, body, specs, (values, entities if body.entity else None))
        node.blobs.part(upload.id).unlink(missing_ok=True)
    node.catalogue_changed.ring()
    return _describe_one(node, caller, dataset.id)


def list_visible(
    node: Node,
    caller: Principal,
    db: Session,
    tags: Sequence[str],
    name: str | None,
    offset: int,
    limit: int,
    text: str = "",
) -> DatasetsOut:
    """List the datasets that the caller may discover, by name; `tags` and words must all be there."""
    now = node.clock()
    wanted = queries.with_words(
        queries.with_tags(queries.visible_datasets(caller, now), tags), text, caller, now
    )
    if name is not None:
        wanted = wanted.where(col(Dataset.name) == name)
    total = db.exec(select(func.count()).select_from(wanted.subquery())).one()
    page = wanted.order_by(col(Dataset.name), col(Dataset.id)).offset(offset).limit(limit)
    rows = db.exec(page).all()
    return DatasetsOut(
        items=[describe(caller, db, row, now) for row in rows], total=total, offset=offset, limit=limit
    )


def get(node: Node, caller: Principal, db: Session, dataset_id: str) -> DatasetOut:
    """Describe a dataset, unless it is hidden from the caller or missing: the same refusal."""
    now = node.clock()
    return describe(caller, db, visible_dataset(caller, db, dataset_id, now), now)


def change(node: Node, caller: Principal, dataset_id: str, patch: DatasetPatch) -> DatasetOut:
    """Change description, tags, rules, bounds or threshold; for the publisher and the node's owner."""
    now = node.clock()
    with node.database.write() as db:
        dataset = managed_dataset(caller, db, dataset_id, now)
        if patch.description is not None:
            dataset.description = patch.description
        if patch.tags is not None:
            dataset.tags = _distinct(patch.tags)
        if patch.min_rows is not None:
            dataset.min_rows = patch.min_rows
        if patch.reviewers is not None:
            dataset.reviewers = patch.reviewers
        if patch.rows_are_entities is not None:
            _require_one_unit(dataset.entity, patch.rows_are_entities)
            dataset.rows_are_entities = patch.rows_are_entities
        if patch.disclosure is not None:
            dataset.disclosure = patch.disclosure.model_dump()
        if patch.bounds is not None:
            _check_bounds(patch.bounds, specs_of(dataset))
            dataset.bounds = {name: bounds.model_dump() for name, bounds in patch.bounds.items()}
        if patch.access is not None:
            access.write(db, caller, now, Ruled(dataset_id=dataset_id), patch.access)
            dataset.describe_apart = dataset.describe_apart or patch.access.describe is not None
        if patch.describe_apart is not None:
            dataset.describe_apart = patch.describe_apart
        db.add(dataset)
        said = patch.model_dump_json(exclude_none=True, exclude={"description", "bounds"})
        audit.record(db, AuditEntry, caller, now, "change_dataset", dataset_id, reason=said)
        db.flush()
        described = describe(caller, db, dataset, now)
    node.catalogue_changed.ring()
    return described


def remove(node: Node, caller: Principal, dataset_id: str) -> None:
    """Delete a dataset and its values; for the publisher and the node's owner."""
    with node.database.write() as db:
        dataset = managed_dataset(caller, db, dataset_id, node.clock())
        unused = storage.drop(db, dataset_id)
        db.delete(dataset)
        audit.record(db, AuditEntry, caller, node.clock(), "delete_dataset", dataset_id, reason=dataset.name)
    storage.collect(node, unused)
    node.catalogue_changed.ring()


def _store(
    node: Node, caller: Principal, body: DatasetIn, specs: dict[str, Spec], files: tuple[Path, Path | None]
) -> Dataset:
    user_id = caller.user_id or ""
    values = node.blobs.seal(files[0])
    people = entities_of(files[1]) if files[1] else None
    entities = node.blobs.seal(files[1]) if files[1] else None
    tensors = [
        TensorInfo(name=name, dtype=spec.dtype, shape=list(spec.shape)) for name, spec in specs.items()
    ]
    dataset = Dataset(
        id=new_id("ds"),
        name=body.name,
        description=body.description,
        tags=_distinct(body.tags),
        rows=tensors[0].shape[0],
        tensors=[tensor.model_dump() for tensor in tensors],
        blob=values.sha256,
        entity=body.entity,
        entity_blob=entities.sha256 if entities else None,
        entities=people[0] if people else None,
        most_rows=people[1] if people else 1,
        rows_are_entities=body.rows_are_entities,
        disclosure=body.disclosure.model_dump(),
        bounds={name: bounds.model_dump() for name, bounds in body.bounds.items()},
        min_rows=body.min_rows,
        reviewers=body.reviewers,
        describe_apart=body.access.describe is not None,
        user_id=user_id,
        published_by=caller.name,
        created_at=node.clock(),
    )
    with node.database.write() as db:
        _require_free_name(db, user_id, body.name)
        db.delete(db.get_one(Upload, body.upload_id))
        db.flush()
        db.add(dataset)
        db.flush()
        access.write(db, caller, dataset.created_at, Ruled(dataset_id=dataset.id), body.access)
        db.add(version_of(dataset, caller, dataset.created_at))
        for seal in (values, entities):
            if seal is not None:
                storage.keep(node, db, seal, used_by=dataset.id, user_id=user_id)
        said = body.access.model_dump_json()
        audit.record(db, AuditEntry, caller, node.clock(), "publish_dataset", dataset.id, reason=said)
    return dataset


def _require_one_unit(entity: str | None, rows_are_entities: bool) -> None:
    if entity is not None and rows_are_entities:
        raise InvalidInputError(f"'{entity}' says whose each row is: rows_are_entities cannot say otherwise")


def version_of(dataset: Dataset, caller: Principal, at: datetime) -> DatasetVersion:
    """Return the entry of a dataset's present content in its history."""
    return DatasetVersion(
        dataset_id=dataset.id,
        version=dataset.version,
        rows=dataset.rows,
        entities=dataset.entities,
        most_rows=dataset.most_rows,
        put_by=caller.name,
        put_at=at,
    )


def _require_free_name(db: Session, user_id: str, name: str) -> None:
    taken = select(Dataset).where(col(Dataset.user_id) == user_id, col(Dataset.name) == name)
    if db.exec(taken).first() is not None:
        raise AlreadyExistsError(f"you have a dataset named '{name}' on this node; take another name")


def _check_bounds(bounds: dict[str, Bounds], specs: dict[str, Spec]) -> None:
    for name, limits in bounds.items():
        if name not in specs or len(specs[name].shape) != 1:
            raise InvalidInputError(f"bounds: there is no column '{name}'")
        if limits.low >= limits.high:
            raise InvalidInputError(f"bounds.{name}: low must be below high")


def specs_of(dataset: Dataset) -> dict[str, Spec]:
    """Return what a dataset stores, by name."""
    infos = [TensorInfo.model_validate(tensor) for tensor in dataset.tensors]
    return {info.name: Spec(info.dtype, tuple(info.shape)) for info in infos}


def _describe_one(node: Node, caller: Principal, dataset_id: str) -> DatasetOut:
    with node.database.read() as db:
        return get(node, caller, db, dataset_id)


def _distinct(entries: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(entries))
