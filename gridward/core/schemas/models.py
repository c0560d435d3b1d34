"""Hosted models: a plan, parameters (or shares of them elsewhere), rules."""

from datetime import datetime
from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from gridward.core.schemas.access import ModelAccess
from gridward.core.schemas.datasets import Tag
from gridward.core.schemas.plan import PlanDocument
from gridward.core.schemas.tensor import Tensor, TensorInfo

ModelId: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


class ModelIn(BaseModel):
    """Host a model. Without an upload the node never holds its parameters: it is served encrypted only."""

    model_config = ConfigDict(extra="forbid")

    id: ModelId
    description: str = Field(default="", max_length=4000)
    tags: list[Tag] = Field(default=[], max_length=64)
    plan: PlanDocument
    upload_id: str | None = Field(
        default=None, max_length=64, description="Safetensors with one tensor a parameter."
    )
    access: ModelAccess = ModelAccess()


class ModelOut(BaseModel):
    """What a caller who may discover a model sees."""

    id: str
    description: str
    tags: list[str]
    version: int = Field(json_schema_extra={"format": "int32"})
    plan_digest: str
    inputs: list[TensorInfo] = Field(description="Data inputs; size 0 stands for the batch.")
    outputs: list[str]
    parameters: list[TensorInfo]
    holds_parameters: bool = Field(description="False: the node has the plan only.")
    deployment_id: str | None = Field(description="The encrypted deployment, if there is one.")
    hosted_by: str
    trained_on: list[str] = Field(
        description="Datasets that its parameters were trained on here, `id@version`."
    )
    created_at: datetime
    verbs: list[str] = Field(
        description="What this caller may do: discover, infer, infer_encrypted, download."
    )


class ModelsOut(BaseModel):
    """A page of models."""

    items: list[ModelOut]
    total: int = Field(json_schema_extra={"format": "int32"})
    offset: int = Field(json_schema_extra={"format": "int32"})
    limit: int = Field(json_schema_extra={"format": "int32"})


class InferenceIn(BaseModel):
    """Query a model in the clear."""

    model_config = ConfigDict(extra="forbid")

    inputs: list[Tensor] = Field(min_length=1, max_length=64)


class InferenceOut(BaseModel):
    """The model's answer."""

    outputs: list[Tensor]


class ParametersIn(BaseModel):
    """Replace the parameters of a model that the caller hosts."""

    model_config = ConfigDict(extra="forbid")

    upload_id: str = Field(max_length=64)


class ParametersOut(BaseModel):
    """Parameters of a model, after the release decision."""

    version: int = Field(json_schema_extra={"format": "int32"})
    parameters: list[Tensor]
