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


class QuestionIn(BaseModel):
    """A plan and what feeds it."""

    model_config = ConfigDict(extra="forbid")

    plan: PlanDocument
    sources: list[Source] = Field(default=[], max_length=256)
    values: list[Tensor] = Field(default=[], max_length=256, description="Public inputs, by name.")


class ComputationIn(QuestionIn):
    """A question, and what becomes of its answer."""

    release: bool = Field(
        description="True: send the outputs if the policy allows. False: keep them on the node."
    )
    attempt: str | None = Field(
        default=None,
        pattern=r"^[0-9a-f]{32}$",
        description="Names this try at random, so that it may be repeated: an answer that a counted approval "
        "gave is given again to the same try, and counts once.",
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
    result_digest: str | None = Field(
        default=None, description="What the audit log calls the released values; show it to an auditor."
    )
    notes: list[str] = Field(
        default=[], description="What to know of the values, such as that counts are rounded."
    )
