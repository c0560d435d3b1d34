"""What somebody would get of a dataset, for those who write its rules or answer requests for it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from gridward.core.schemas.access import Entry, RuleOut
from gridward.core.schemas.computations import QuestionIn
from gridward.core.schemas.datasets import DatasetOut


class PreviewIn(BaseModel):
    """Whom to look through: an account, an identity of a gateway, `role:<name>` or `group:<name>`."""

    model_config = ConfigDict(extra="forbid")

    who: Entry
    question: QuestionIn | None = Field(
        default=None, description="What they would ask; nothing of it is run."
    )


class VerbOut(BaseModel):
    """One verb that they have, and the rules that give it; none where it is theirs anyway."""

    verb: str
    rules: list[RuleOut]


class DecisionOut(BaseModel):
    """What asking would end in now. Nothing was run, counted or given."""

    answer: Literal["value", "suppressed", "pending", "refused"]
    reason: str = Field(description="A code, such as `aggregate` or `no_access`.")
    detail: str = Field(description="What they would be told.")
    rules: list[str] = Field(description="Ids of counted rules that would be used up by one.")
    data_decides: bool = Field(
        description="The values may still suppress it: groups that are too small, or results not finite."
    )
    question: str | None = Field(description="Digest of the question with the versions of the data.")
    standing: str | None = Field(description="The same without versions; for a rule's `plan`.")


class AccessPreview(BaseModel):
    """What they would find and may do."""

    who: str
    role: str | None = Field(description="Of an account; None for one that was not admitted, and for groups.")
    capabilities: list[str]
    locked_out: bool = Field(
        description="The account is disabled, or lacks a second factor that its role needs: it gets nothing."
    )
    sees: DatasetOut | None = Field(description="As the node shows it to them; None: they do not find it.")
    in_gateways: bool = Field(description="Gateways let them find it, where they are identities of one.")
    verbs: list[VerbOut]
    decision: DecisionOut | None
