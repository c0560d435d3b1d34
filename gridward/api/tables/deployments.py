"""Encrypted deployments in which this node has a role. Shares, seeds and bundles are files, never rows."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger
from sqlmodel import Field

from gridward.api.tables.base import NodeTable
from gridward.server.db import UtcDateTime


class Deployment(NodeTable, table=True):
    """A deployment as this node accepted it; `role` is host, party or provider."""

    __tablename__ = "deployments"

    id: str = Field(primary_key=True, max_length=32)
    role: str = Field(max_length=16)
    position: int = Field(default=-1)
    model_id: str = Field(index=True, max_length=64)
    host_id: str = Field(max_length=26)
    state: str = Field(max_length=16)
    document: dict[str, Any] = Field(sa_type=JSON)
    measured_error: float | None = None
    lanes: list[dict[str, Any]] = Field(default=[], sa_type=JSON)
    created_by: str = Field(max_length=80)
    created_at: datetime = Field(sa_type=UtcDateTime)


class QuerySerial(NodeTable, table=True):
    """The next bundle of a deployment and batch size, counted by the host: no two queries share one."""

    __tablename__ = "query_serials"

    deployment_id: str = Field(
        primary_key=True, foreign_key="deployments.id", ondelete="CASCADE", max_length=32
    )
    batch: int = Field(primary_key=True)
    next_serial: int = Field(default=0, sa_type=BigInteger)
