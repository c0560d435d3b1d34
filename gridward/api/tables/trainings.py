"""Training runs."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger
from sqlmodel import Field

from gridward.api.tables.base import NodeTable
from gridward.server.db import UtcDateTime


class Training(NodeTable, table=True):
    """A run over one dataset's rows. Progress within a run lives in memory; this row has its ends.

    `parameters` counts the numbers that it learns, `rows` those that it trains on. `told`: whoever started
    it had something of it, so that the use of a counted rule that it took is used. With a `lesson` (a
    digest) its blob holds the update, which leaves inside sums only.
    """

    __tablename__ = "trainings"

    id: str = Field(primary_key=True, max_length=64)
    user_id: str = Field(foreign_key="users.id", ondelete="CASCADE", index=True, max_length=64)
    started_by: str = Field(max_length=80)
    dataset_id: str = Field(max_length=64)
    dataset_version: int
    rows: int = Field(sa_type=BigInteger)
    model_id: str | None = Field(default=None, max_length=64)
    plan_digest: str = Field(max_length=64)
    lesson: str | None = Field(default=None, max_length=64)
    parameters: int = Field(sa_type=BigInteger)
    state: str = Field(index=True, max_length=16)
    detail: str = Field(default="", max_length=2000)
    epochs: int
    history: list[dict[str, Any]] = Field(sa_type=JSON)
    validation: dict[str, float] | None = Field(default=None, sa_type=JSON)
    validation_rows: int = Field(default=0, sa_type=BigInteger)
    seconds: float = 0
    told: bool = False
    forgotten: bool = False
    blob: str | None = Field(default=None, max_length=64)
    created_at: datetime = Field(sa_type=UtcDateTime)


class TrainingSource(NodeTable, table=True):
    """One dataset behind a run: the one trained on, or one behind the model it started from."""

    __tablename__ = "training_sources"

    training_id: str = Field(primary_key=True, foreign_key="trainings.id", ondelete="CASCADE", max_length=64)
    dataset_id: str = Field(primary_key=True, max_length=64)
    version: int = Field(primary_key=True)
    rows: int = Field(sa_type=BigInteger)
