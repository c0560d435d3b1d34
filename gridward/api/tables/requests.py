"""Requests: what was asked, who voted, what was said, which uses were taken, and what was answered before."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import JSON, BigInteger, Index, Text, UniqueConstraint
from sqlmodel import Field

from gridward.api.tables.base import NodeTable
from gridward.server.db import UtcDateTime

_STANDS: Final = ("user_id", "expires_at", "times", "used", "until")


class AccessRequest(NodeTable, table=True):
    """One question of one user. What is asked never changes; what was decided is in the second half.

    `body` is the question as it was sent; `digest` names plan, sources with versions, and values, and
    `standing_digest` the same without versions. `findings` is what the analysis said of each output,
    `operations` the plan in words.
    """

    __tablename__ = "requests"
    __table_args__ = (
        Index("ix_requests_user_id_digest", "user_id", "digest"),
        Index("ix_requests_created_at_id", "created_at", "id"),
        # All that a list of one status filters, orders and counts by: rows are large, and few are read.
        Index("ix_requests_listed", "outcome", "created_at", "id", *_STANDS),
    )

    id: str = Field(primary_key=True, max_length=64)
    user_id: str = Field(foreign_key="users.id", ondelete="CASCADE", max_length=64)
    asked_by: str = Field(max_length=80)
    reason: str = Field(max_length=2000)
    body: str = Field(sa_type=Text)
    digest: str = Field(max_length=64)
    standing_digest: str = Field(max_length=64)
    plan_digest: str = Field(max_length=64)
    kind: str = Field(max_length=16)
    findings: list[dict[str, Any]] = Field(sa_type=JSON)
    operations: list[str] = Field(sa_type=JSON)
    created_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime)

    outcome: str = Field(max_length=16)
    times: int | None = None
    until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    standing: bool = False
    used: int = 0
    decided_by: str = Field(default="", max_length=80)
    decided_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    note: str = Field(default="", max_length=2000)


class RequestSource(NodeTable, table=True):
    """One dataset behind a request, at the version that was asked about. It outlives the dataset."""

    __tablename__ = "request_sources"

    request_id: str = Field(primary_key=True, foreign_key="requests.id", ondelete="CASCADE", max_length=64)
    dataset_id: str = Field(primary_key=True, index=True, max_length=64)
    version: int
    rows: int = Field(sa_type=BigInteger)
    name: str = Field(max_length=64)
    tensors: list[str] = Field(sa_type=JSON)


class RequestVote(NodeTable, table=True):
    """One person's yes, and how far it goes."""

    __tablename__ = "request_votes"

    request_id: str = Field(primary_key=True, foreign_key="requests.id", ondelete="CASCADE", max_length=64)
    user_id: str = Field(primary_key=True, foreign_key="users.id", max_length=64)
    times: int | None = None
    until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    standing: bool = False
    at: datetime = Field(sa_type=UtcDateTime)


class RequestEvent(NodeTable, table=True):
    """One line of a request's history; whoever it concerns is notified of it by its number."""

    __tablename__ = "request_events"

    id: int | None = Field(default=None, primary_key=True)
    request_id: str = Field(foreign_key="requests.id", ondelete="CASCADE", index=True, max_length=64)
    user_id: str = Field(max_length=64)
    actor: str = Field(max_length=80)
    kind: str = Field(max_length=16)
    text: str = Field(default="", max_length=2000)
    at: datetime = Field(sa_type=UtcDateTime)


class RequestUse(NodeTable, table=True):
    """One value that left by a counted approval. Its number is its place in the count: no two share one.

    The answer is kept for a while under the asker's `attempt`, so that one who lost it need not ask again.
    """

    __tablename__ = "request_uses"
    __table_args__ = (UniqueConstraint("request_id", "attempt"),)

    request_id: str = Field(primary_key=True, foreign_key="requests.id", ondelete="CASCADE", max_length=64)
    number: int = Field(primary_key=True)
    attempt: str | None = Field(default=None, max_length=64)
    blob: str | None = Field(default=None, max_length=64)
    at: datetime = Field(index=True, sa_type=UtcDateTime)


class StandingRule(NodeTable, table=True):
    """A rule of a dataset: this user may have the answer to this question, whatever version the data has."""

    __tablename__ = "standing_rules"

    dataset_id: str = Field(primary_key=True, foreign_key="datasets.id", ondelete="CASCADE", max_length=64)
    user_id: str = Field(primary_key=True, foreign_key="users.id", ondelete="CASCADE", max_length=64)
    question: str = Field(primary_key=True, max_length=64)
    request_id: str = Field(foreign_key="requests.id", ondelete="CASCADE", index=True, max_length=64)
    username: str = Field(max_length=80)
    made_by: str = Field(max_length=80)
    made_at: datetime = Field(sa_type=UtcDateTime)


class NotificationMark(NodeTable, table=True):
    """The last event that a user has seen."""

    __tablename__ = "notification_marks"

    user_id: str = Field(primary_key=True, foreign_key="users.id", ondelete="CASCADE", max_length=64)
    last_event: int


class Released(NodeTable, table=True):
    """One dataset behind one answer that a user had: what overlaps are found in."""

    __tablename__ = "released"
    __table_args__ = (Index("ix_released_user_id_dataset_id", "user_id", "dataset_id"),)

    id: int | None = Field(default=None, primary_key=True)
    user_id: str = Field(foreign_key="users.id", ondelete="CASCADE", max_length=64)
    dataset_id: str = Field(max_length=64)
    version: int
    tensors: list[str] = Field(sa_type=JSON)
    plan_digest: str = Field(max_length=64)
    action: str = Field(max_length=64)
    at: datetime = Field(sa_type=UtcDateTime)
