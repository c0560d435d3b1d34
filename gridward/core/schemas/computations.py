"""Run a plan on the node's data; take the result through the release door, or leave it there."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from gridward.core.schemas.objects import ObjectOut
from gridward.core.schemas.plan import PlanDocument
from gridward.core.schemas.tensor import Tensor


class Source(BaseModel):
    """Where a plan input comes from: a dataset's tensor, or a stored object. Exactly one id is set."""

    model_config = ConfigDict(extra="forbid")

    input: str = Field(max_length=128, description="The plan input it feeds.")
    dataset_id: str | None = Field(default=None, max_length=64)
    tensor: str | None = Field(default=None, max_length=128, description="Tensor of the dataset.")
    object_id: str | None = Field(default=None, max_length=64)


class ComputationIn(BaseModel):
    """A plan and what feeds it."""

    model_config = ConfigDict(extra="forbid")

    plan: PlanDocument
    sources: list[Source] = Field(default=[], max_length=256)
    values: list[Tensor] = Field(default=[], max_length=256, description="Public inputs, by name.")
    release: bool = Field(
        description="True: send the outputs if the policy allows. False: keep them on the node."
    )


class Answer(StrEnum):
    """What asking for a value can end in; refusals and suppressions travel as problems."""

    VALUE = "value"
    SUPPRESSED = "suppressed"
    PENDING = "pending"
    REFUSED = "refused"


class ComputationOut(BaseModel):
    """Released values, or the objects that were kept."""

    answer: Answer
    values: list[Tensor] = Field(description="Outputs, by name; empty unless released.")
    objects: list[ObjectOut] = Field(description="Stored outputs, in output order; empty if released.")
