"""Train a model on a node's rows: one message a round, not one a batch."""

from datetime import datetime
from enum import StrEnum
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

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


class Evaluation(BaseModel):
    """Judge the parameters as they are received, over rows that no step trains on.

    The node draws these rows by `holdout_seed` and a secret of its own: the same seed, the same rows.
    """

    model_config = ConfigDict(extra="forbid")

    plan: PlanDocument = Field(description="Of kind `evaluation`: loss and metrics of a batch.")
    holdout: float = Field(
        default=0,
        ge=0,
        le=0.5,
        allow_inf_nan=False,
        json_schema_extra={"format": "double"},
        description="Fraction of the rows that is held out; 0 judges over all rows, if `epochs` is 0.",
    )
    holdout_seed: int = Field(default=0, ge=0, lt=2**63, json_schema_extra={"format": "int64"})


class TrainingIn(BaseModel):
    """Run a training plan over a dataset's rows. Parameters come inline or are those of a hosted model."""

    model_config = ConfigDict(extra="forbid")

    id: str | None = Field(
        default=None,
        pattern=r"^trn-[0-9a-f]{24}$",
        description="Drawn by who starts it, to forget it where the answer is lost. Null: the node draws.",
    )
    plan: PlanDocument | None = Field(default=None, description="May be left out where `epochs` is 0.")
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
    epochs: int = Field(
        default=1,
        ge=0,
        le=10_000,
        json_schema_extra={"format": "int32"},
        description="Passes over the rows; 0 only evaluates.",
    )
    batch_size: int = Field(default=64, ge=1, le=10**7, json_schema_extra={"format": "int32"})
    seed: int = Field(default=0, ge=0, lt=2**63, json_schema_extra={"format": "int64"})
    evaluation: Evaluation | None = None
    secure: bool = Field(
        default=False,
        description="The update leaves inside sums of several nodes only; metrics are told coarsely.",
    )

    @model_validator(mode="after")
    def _has_something_to_do(self) -> Self:
        if self.epochs and self.plan is None:
            raise ValueError("a training needs a plan")
        if not self.epochs and self.evaluation is None:
            raise ValueError("0 epochs need an evaluation")
        if self.epochs and self.evaluation is not None and not self.evaluation.holdout:
            raise ValueError("an evaluation beside a training needs a holdout above 0")
        return self


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
    rows: int = Field(json_schema_extra={"format": "int64"}, description="Rows that it trains on.")
    epochs_done: int = Field(json_schema_extra={"format": "int32"})
    history: list[EpochMetrics]
    validation: dict[str, float] | None = Field(
        default=None, description="Loss and metrics of the parameters as received, once they are known."
    )
    validation_rows: int = Field(default=0, json_schema_extra={"format": "int64"})
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
    validation: dict[str, float] | None = Field(description="Of the parameters as received.")
    validation_rows: int = Field(json_schema_extra={"format": "int64"})
    seconds: float = Field(json_schema_extra={"format": "double"})
    forgotten: bool = Field(description="Who started it dropped it: its parameters are gone.")
    created_at: datetime


class TrainingsOut(BaseModel):
    """A page of trainings, the newest first."""

    items: list[TrainingRecord]
    total: int = Field(json_schema_extra={"format": "int32"})
    offset: int = Field(json_schema_extra={"format": "int32"})
    limit: int = Field(json_schema_extra={"format": "int32"})
