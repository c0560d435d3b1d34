"""Groups: accounts and gateway identities under one name, for rules of datasets and models."""

from datetime import datetime
from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from gridward.core.schemas.access import GROUP_PATTERN, PRINCIPAL_PATTERN

Members: TypeAlias = Annotated[
    list[Annotated[str, Field(pattern=PRINCIPAL_PATTERN)]], Field(max_length=10_000)
]


class GroupIn(BaseModel):
    """A new group. Members are accounts of the node (`ana`) or identities of a gateway (`dana@grid`)."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=GROUP_PATTERN)
    description: str = Field(default="", max_length=400)
    members: Members = []


class GroupPatch(BaseModel):
    """Change a group, at once for every rule that names it; absent fields stay."""

    model_config = ConfigDict(extra="forbid")

    description: str | None = Field(default=None, max_length=400)
    add: Members = []
    remove: Members = []


class GroupOut(BaseModel):
    """A group; rules name it `group:<name>`."""

    name: str
    description: str
    size: int = Field(description="Number of members.", json_schema_extra={"format": "int32"})
    members: list[str] | None = Field(description="For those who manage users only.")
    rules: int = Field(
        description="Rules of datasets and models that name it.", json_schema_extra={"format": "int32"}
    )
    made_by: str
    made_at: datetime


class GroupsOut(BaseModel):
    """All groups of this node, by name."""

    items: list[GroupOut]
