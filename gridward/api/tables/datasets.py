"""Datasets, the blobs behind them, uploads on the way."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, UniqueConstraint
from sqlmodel import Field

from gridward.api.tables.base import NodeTable
from gridward.server.db import UtcDateTime


class Upload(NodeTable, table=True):
    """A file on its way; its bytes lie in the blob folder's `incoming` under the same id."""

    __tablename__ = "uploads"

    id: str = Field(primary_key=True, max_length=64)
    user_id: str = Field(foreign_key="users.id", ondelete="CASCADE", index=True, max_length=64)
    size_bytes: int = Field(sa_type=BigInteger)
    sha256: str = Field(max_length=64)
    media_type: str = Field(max_length=64)
    received_bytes: int = Field(default=0, sa_type=BigInteger)
    complete: bool = False
    created_at: datetime = Field(sa_type=UtcDateTime)
    touched_at: datetime = Field(sa_type=UtcDateTime)


class BlobUse(NodeTable, table=True):
    """One thing (`used_by`: dataset, object, model …) that needs a blob, and whose quota pays for it."""

    __tablename__ = "blob_uses"

    used_by: str = Field(primary_key=True, max_length=128)
    sha256: str = Field(primary_key=True, index=True, max_length=64)
    user_id: str = Field(foreign_key="users.id", index=True, max_length=64)
    size_bytes: int = Field(sa_type=BigInteger)


class Dataset(NodeTable, table=True):
    """A published dataset. `tensors` lists name, dtype and shape; values are in the blobs only.

    `entities` counts the distinct ones, `most_rows` the rows of the one that has most; both are of the
    entity column. `disclosure` holds the thresholds as they travel. `describe_apart`: who finds it sees no
    columns, shapes, counts or checks, unless a rule says so.
    """

    __tablename__ = "datasets"
    # Unique per publisher, not per node: a refusal must not tell of others' hidden datasets.
    __table_args__ = (UniqueConstraint("user_id", "name"),)

    id: str = Field(primary_key=True, max_length=64)
    name: str = Field(max_length=64)
    description: str = Field(default="", max_length=4000)
    tags: list[str] = Field(sa_type=JSON)
    version: int = 1
    rows: int = Field(sa_type=BigInteger)
    tensors: list[dict[str, object]] = Field(sa_type=JSON)
    blob: str = Field(max_length=64)
    entity: str | None = Field(default=None, max_length=128)
    entity_blob: str | None = Field(default=None, max_length=64)
    entities: int | None = Field(default=None, sa_type=BigInteger)
    most_rows: int = Field(default=1, sa_type=BigInteger)
    rows_are_entities: bool = False
    bounds: dict[str, dict[str, float]] = Field(sa_type=JSON)
    min_rows: int
    disclosure: dict[str, Any] = Field(sa_type=JSON)
    reviewers: int = 1
    describe_apart: bool = False
    user_id: str = Field(foreign_key="users.id", max_length=64)
    published_by: str = Field(index=True, max_length=80)
    created_at: datetime = Field(sa_type=UtcDateTime)


class DatasetVersion(NodeTable, table=True):
    """One content that a dataset had; values of former ones, and whose their rows were, are gone.

    `entities` and `most_rows` as in `Dataset`: what was made of a former one is judged by them.
    """

    __tablename__ = "dataset_versions"

    dataset_id: str = Field(primary_key=True, foreign_key="datasets.id", ondelete="CASCADE", max_length=64)
    version: int = Field(primary_key=True)
    rows: int = Field(sa_type=BigInteger)
    entities: int | None = Field(default=None, sa_type=BigInteger)
    most_rows: int = Field(default=1, sa_type=BigInteger)
    put_by: str = Field(max_length=80)
    put_at: datetime = Field(sa_type=UtcDateTime)
