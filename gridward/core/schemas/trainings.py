"""Train a model on a node's rows: one message a round, not one a batch."""

from datetime import datetime
from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from gridward.core.schemas.plan import PlanDocument
from gridward.core.schemas.tensor import Tensor

INLINE_BYTES: Final = 4 << 20


class Feed(BaseModel):
    """Which tensor of the dataset feeds which plan input."""

    model_config = ConfigDict(extra="forbid")

    input: str = Field(max_length=128)
    tensor: str = Field(max_length=128)


class Hyper(BaseModel):
    """A number fed to a `hyper` input, such as the learning rate."""

    model_config = ConfigDict(extra="forbid")

    input: str = Field(max_length=128)
    value: float = Field(allow_inf_nan=False, json_schema_extra={"format": "double"})


class TrainingIn(BaseModel):
    """Run a training plan over a dataset's rows. Parameters come inline or are those of a hosted model."""

    model_config = ConfigDict(extra="forbid")

    plan: PlanDocument
    dataset_id: str = Field(max_length=64)
    feeds: list[Feed] = Field(min_length=1, max_length=64)
    parameters: list[Tensor] = Field(
        default=[], max_length=4096, description="Initial `param` and `state` inputs."
    )
    parameters_upload: str | None = Field(
        default=None,
        max_length=64,
        description="Initial `param` and `state` inputs as an upload of safetensors, which is used up.",
    )
    model_id: str | None = Field(
        default=None, max_length=64, description="Train this model; it keeps the result."
    )
    hyper: list[Hyper] = Field(default=[], max_length=64)
    epochs: int = Field(default=1, ge=1, le=10_000, json_schema_extra={"format": "int32"})
    batch_size: int = Field(default=64, ge=1, le=10**7, json_schema_extra={"format": "int32"})
    seed: int = Field(default=0, ge=0, lt=2**63, json_schema_extra={"format": "int64"})
    secure: bool = Field(
        default=False,
        description="The update leaves inside sums of several nodes only; metrics are told coarsely.",
    )


class TrainingState(StrEnum):
    """Where a training stands."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class EpochMetrics(BaseModel):
    """Loss and metrics of one epoch, averaged over all rows; `steps` is its number of batches."""

    epoch: int = Field(json_schema_extra={"format": "int32"})
    steps: int = Field(ge=1, json_schema_extra={"format": "int32"})
    values: dict[str, float]


class TrainingOut(BaseModel):
    """A training as its starter sees it."""

    id: str
    state: TrainingState
    detail: str = Field(description="Why it failed, if it did.")
    rows: int = Field(json_schema_extra={"format": "int64"})
    epochs_done: int = Field(json_schema_extra={"format": "int32"})
    history: list[EpochMetrics]
    seconds: float = Field(json_schema_extra={"format": "double"})
    parameters: list[Tensor] = Field(
        description="The trained parameters once done, if the caller may export them and they are small."
    )
    content_bytes: int = Field(
        description="Size of the trained parameters at `/content`. 0: they are above, or there are none.",
        json_schema_extra={"format": "int64"},
    )
    withheld: str = Field(description="Why the caller may not have the parameters; empty where they may.")
    created_at: datetime


class TrainingRecord(BaseModel):
    """A training as whoever answers for the data sees it: who, on what, how far. Never parameters."""

    id: str
    started_by: str
    dataset_id: str
    dataset_name: str | None = Field(description="Null: it was deleted, or is hidden from the caller.")
    dataset_version: int = Field(json_schema_extra={"format": "int32"})
    rows: int = Field(json_schema_extra={"format": "int64"})
    model_id: str | None = Field(description="The hosted model that it trains, if it is one.")
    plan_digest: str = Field(description="Rounds of one federated run have the same.")
    state: TrainingState
    detail: str
    epochs: int = Field(json_schema_extra={"format": "int32"})
    epochs_done: int = Field(json_schema_extra={"format": "int32"})
    history: list[EpochMetrics]
    seconds: float = Field(json_schema_extra={"format": "double"})
    forgotten: bool = Field(description="Who started it dropped it: its parameters are gone.")
    created_at: datetime


class TrainingsOut(BaseModel):
    """A page of trainings, the newest first."""

    items: list[TrainingRecord]
    total: int = Field(json_schema_extra={"format": "int32"})
    offset: int = Field(json_schema_extra={"format": "int32"})
    limit: int = Field(json_schema_extra={"format": "int32"})
