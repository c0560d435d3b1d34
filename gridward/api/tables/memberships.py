"""Gateways that this node joined or asked to join."""

from datetime import datetime

from sqlmodel import Field

from gridward.api.tables.base import NodeTable
from gridward.server.db import UtcDateTime


class Membership(NodeTable, table=True):
    """A gateway with its pinned key. Its name is unique here: it is part of its users' names."""

    __tablename__ = "memberships"

    gateway_id: str = Field(primary_key=True, max_length=26)
    gateway_name: str = Field(unique=True, max_length=32)
    gateway_url: str = Field(max_length=600)
    sign_key: str = Field(max_length=43)
    state: str = Field(max_length=16)
    attestation: str | None = Field(default=None, max_length=4000)
    last_heartbeat_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    detail: str = Field(default="", max_length=500)
    created_at: datetime = Field(sa_type=UtcDateTime)
