"""Sums of updates that this node took part in. Rows stay: an old document must not be served again."""

from datetime import datetime

from sqlalchemy import JSON
from sqlmodel import Field

from gridward.api.tables.base import NodeTable
from gridward.server.db import UtcDateTime


class UpdateContribution(NodeTable, table=True):
    """Which training this node contributed to a document; each goes to one document only.

    `norm` is the L2 norm of its update, by which every piece is clipped alike.
    """

    __tablename__ = "update_contributions"

    document_id: str = Field(primary_key=True, max_length=32)
    training_id: str = Field(unique=True, foreign_key="trainings.id", ondelete="CASCADE", max_length=64)
    digest: str = Field(max_length=64)
    norm: float
    created_at: datetime = Field(sa_type=UtcDateTime)


class UpdateOpening(NodeTable, table=True):
    """Whose sum this node opened for a document, as an aggregator: no other one is ever opened for it."""

    __tablename__ = "update_openings"

    document_id: str = Field(primary_key=True, max_length=32)
    digest: str = Field(max_length=64)
    contributors: list[str] = Field(sa_type=JSON)
    created_at: datetime = Field(sa_type=UtcDateTime)
