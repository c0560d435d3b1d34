"""Roles: sets of capabilities, those that every server has and those that were made on it."""

from datetime import datetime
from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from gridward.core.schemas.access import RoleId

Capabilities: TypeAlias = Annotated[
    list[Annotated[str, Field(max_length=32)]],
    Field(max_length=32, description="None that whoever says so lacks."),
]


class RoleIn(BaseModel):
    """A new role; its maker may give it no capability that they lack."""

    model_config = ConfigDict(extra="forbid")

    name: RoleId
    description: str = Field(default="", max_length=400)
    capabilities: Capabilities
    second_factor: bool = Field(
        default=False,
        description="Its accounts need one, even where its capabilities alone would not ask for it.",
    )


class RolePatch(BaseModel):
    """Change a role of those who hold it, at once; absent fields stay."""

    model_config = ConfigDict(extra="forbid")

    description: str | None = Field(default=None, max_length=400)
    capabilities: Capabilities | None = None
    second_factor: bool | None = None


class RoleOut(BaseModel):
    """A role of this server."""

    name: str
    description: str
    capabilities: list[str]
    built_in: bool = Field(description="It can be neither changed nor deleted.")
    second_factor: bool = Field(description="Its accounts may do nothing without one.")
    made_by: str
    made_at: datetime | None


class RolesOut(BaseModel):
    """All roles of this server: the built-in ones first."""

    items: list[RoleOut]
