"""Hosted models, and what their parameters were trained on."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger
from sqlmodel import Field

from gridward.api.tables.base import NodeTable
from gridward.server.db import UtcDateTime


class Model(NodeTable, table=True):
    """A plan with parameters (a blob), or without them: then it is served encrypted only."""

    __tablename__ = "models"

    id: str = Field(primary_key=True, max_length=64)
    description: str = Field(default="", max_length=4000)
    tags: list[str] = Field(sa_type=JSON)
    version: int = 1
    plan: dict[str, Any] = Field(sa_type=JSON)
    plan_digest: str = Field(max_length=64)
    blob: str | None = Field(default=None, max_length=64)
    user_id: str = Field(foreign_key="users.id", max_length=64)
    hosted_by: str = Field(index=True, max_length=80)
    created_at: datetime = Field(sa_type=UtcDateTime)


class ModelSource(NodeTable, table=True):
    """One dataset that a model's parameters were trained on here."""

    __tablename__ = "model_sources"

    model_id: str = Field(primary_key=True, foreign_key="models.id", ondelete="CASCADE", max_length=64)
    dataset_id: str = Field(primary_key=True, max_length=64)
    version: int = Field(primary_key=True)
    rows: int = Field(sa_type=BigInteger)
