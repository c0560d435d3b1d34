"""Groups, rules of datasets and models, and the uses of rules that are counted."""

from datetime import datetime
from typing import Final

from sqlalchemy import Index, UniqueConstraint
from sqlmodel import Field

from gridward.api.tables.base import NodeTable
from gridward.server.db import UtcDateTime

_LOOKED_AT: Final = ("entry", "verb", "plan", "until")


class Group(NodeTable, table=True):
    """Accounts and gateway identities under one name. What its rules opened goes with it."""

    __tablename__ = "groups"

    name: str = Field(primary_key=True, max_length=32)
    description: str = Field(default="", max_length=400)
    made_by: str = Field(max_length=80)
    made_at: datetime = Field(sa_type=UtcDateTime)


class GroupMember(NodeTable, table=True):
    """One name in a group: names never come to mean somebody else."""

    __tablename__ = "group_members"

    group_name: str = Field(primary_key=True, foreign_key="groups.name", ondelete="CASCADE", max_length=32)
    member: str = Field(primary_key=True, index=True, max_length=80)


class AccessRule(NodeTable, table=True):
    """One rule of a dataset or of a model: an entry of one list, its conditions, how often it was used.

    `group_name` and `custom_role` repeat what `entry` names, so that the database ends the rule with it.
    """

    __tablename__ = "access_rules"
    __table_args__ = (
        Index("ix_access_rules_entry_verb", "entry", "verb"),
        # All that never changes of what a look for rules that speak of somebody filters by.
        Index("ix_access_rules_dataset_id_entry", "dataset_id", *_LOOKED_AT),
        Index("ix_access_rules_model_id_entry", "model_id", *_LOOKED_AT),
    )

    id: str = Field(primary_key=True, max_length=64)
    dataset_id: str | None = Field(default=None, foreign_key="datasets.id", ondelete="CASCADE", max_length=64)
    model_id: str | None = Field(default=None, foreign_key="models.id", ondelete="CASCADE", max_length=64)
    verb: str = Field(max_length=32)
    entry: str = Field(max_length=80)
    until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    times: int | None = None
    used: int = 0
    taken: int = 0
    plan: str | None = Field(default=None, max_length=64)
    min_rows: int = 0
    min_entities: int = 0
    group_name: str | None = Field(
        default=None, foreign_key="groups.name", ondelete="CASCADE", index=True, max_length=32
    )
    custom_role: str | None = Field(
        default=None, foreign_key="roles.name", ondelete="CASCADE", index=True, max_length=32
    )
    made_by: str = Field(max_length=80)
    made_at: datetime = Field(sa_type=UtcDateTime)


class RuleUse(NodeTable, table=True):
    """One answer by a counted rule. Its number says which one was taken: no two share one.

    It outlives the rule. The answer is kept for a while under the caller's `attempt` at `question`.
    """

    __tablename__ = "rule_uses"
    __table_args__ = (UniqueConstraint("user_id", "attempt", "rule_id"),)

    rule_id: str = Field(primary_key=True, max_length=64)
    number: int = Field(primary_key=True)
    user_id: str = Field(foreign_key="users.id", ondelete="CASCADE", max_length=64)
    attempt: str | None = Field(default=None, max_length=64)
    question: str = Field(default="", max_length=64)
    blob: str | None = Field(default=None, max_length=64)
    at: datetime = Field(index=True, sa_type=UtcDateTime)
