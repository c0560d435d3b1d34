"""Stored tensors and what they were made from."""

from datetime import datetime

from sqlalchemy import JSON, BigInteger
from sqlmodel import Field

from gridward.api.tables.base import NodeTable
from gridward.server.db import UtcDateTime


class StoredObject(NodeTable, table=True):
    """A tensor that a user sent, or that a computation left here.

    `level` is what it tells of rows (`core.privacy.analysis.Level`); `row_table` and `row_axis` name whose
    rows run along which of its axes; `masked` says that row masks gate it,
    `coded` that it is a function of nothing but masks.
    """

    __tablename__ = "objects"

    id: str = Field(primary_key=True, max_length=64)
    user_id: str = Field(foreign_key="users.id", ondelete="CASCADE", index=True, max_length=64)
    stored_by: str = Field(max_length=80)
    name: str = Field(max_length=128)
    dtype: str = Field(max_length=16)
    shape: list[int] = Field(sa_type=JSON)
    blob: str = Field(max_length=64)
    description: str = Field(default="", max_length=4000)
    tags: list[str] = Field(sa_type=JSON)
    level: str = Field(max_length=16)
    row_table: str = Field(default="", max_length=96)
    row_axis: int = 0
    masked: bool = False
    coded: bool = False
    plan_digest: str | None = Field(default=None, max_length=64)
    created_at: datetime = Field(sa_type=UtcDateTime)


class ObjectSource(NodeTable, table=True):
    """One dataset behind an object. It outlives the dataset: without it nobody but the owner may read."""

    __tablename__ = "object_sources"

    object_id: str = Field(primary_key=True, foreign_key="objects.id", ondelete="CASCADE", max_length=64)
    dataset_id: str = Field(primary_key=True, max_length=64)
    version: int = Field(primary_key=True)
    rows: int = Field(sa_type=BigInteger)
