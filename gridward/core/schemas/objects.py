"""Stored tensors: sent by a user, or materialised results that carry their provenance."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from gridward.core.schemas.datasets import Tag
from gridward.core.schemas.tensor import Tensor, TensorInfo


class ObjectIn(BaseModel):
    """Send a tensor to the node; it belongs to the sender."""

    model_config = ConfigDict(extra="forbid")

    tensor: Tensor
    description: str = Field(default="", max_length=4000)
    tags: list[Tag] = Field(default=[], max_length=64)


class Provenance(BaseModel):
    """What a derived value was made from; its permission is the meet of theirs."""

    plan_digest: str | None = Field(description="SHA-256 of the plan that made it; null if it was sent.")
    datasets: list[str] = Field(description="Ids of all datasets behind it, with version: `id@version`.")
    rows: bool = Field(description="True if its first dimension still runs over the data's rows.")


class ObjectOut(BaseModel):
    """A stored tensor, without its values."""

    id: str
    tensor: TensorInfo
    description: str
    tags: list[str]
    stored_by: str
    provenance: Provenance
    created_at: datetime


class ObjectsOut(BaseModel):
    """The caller's objects."""

    items: list[ObjectOut]
    total: int = Field(json_schema_extra={"format": "int32"})
    offset: int = Field(json_schema_extra={"format": "int32"})
    limit: int = Field(json_schema_extra={"format": "int32"})
