"""Requests: a question to a dataset's owner, what people say of it, and what becomes of it."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal, TypeAlias

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from gridward.core.schemas.computations import QuestionIn, Source
from gridward.core.schemas.examples_requests import REQUEST_EXAMPLES
from gridward.core.schemas.plan import PlanDocument
from gridward.core.schemas.tensor import Tensor

Count: TypeAlias = Annotated[int, Field(json_schema_extra={"format": "int32"})]
Words: TypeAlias = Annotated[str, Field(min_length=1, max_length=2000)]
Digest: TypeAlias = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
StatusName: TypeAlias = Literal["pending", "approved", "denied", "expired", "revoked", "withdrawn", "used_up"]


class ReleaseKind(StrEnum):
    """What would leave: values computed over all rows, anything else of rows, or a model's parameters."""

    VALUE = "value"
    RAW = "raw"
    PARAMETERS = "parameters"


class EventKind(StrEnum):
    """What happened to a request."""

    ASKED = "asked"
    COMMENTED = "commented"
    AGREED = "agreed"
    APPROVED = "approved"
    DENIED = "denied"
    REVOKED = "revoked"
    WITHDRAWN = "withdrawn"
    USED = "used"


class Expiry(BaseModel):
    """How long people may answer."""

    expires_in_s: float | None = Field(
        default=None,
        gt=0,
        le=366 * 86_400,
        allow_inf_nan=False,
        description="Nobody may answer later than this, seconds. Absent: the node's setting.",
        json_schema_extra={"format": "double"},
    )


class ExportIn(Expiry):
    """Ask those who may open the data for the parameters of a model that was trained on it."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [REQUEST_EXAMPLES["ExportIn"]]})

    reason: Words = Field(description="Why; those who decide read it.")


class ExportQuestion(QuestionIn):
    """What is kept of such a question: the model's plan, and the SHA-256 of its parameters as a file."""

    model_id: str
    parameters: Digest


class RequestIn(QuestionIn, Expiry):
    """Ask those who may open the data for the answer to a question."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [REQUEST_EXAMPLES["RequestIn"]]})

    reason: Words = Field(description="Why; those who decide read it.")


class RequestSourceOut(BaseModel):
    """A dataset that is asked about, as it was then."""

    dataset_id: str
    name: str
    version: Count
    rows: int = Field(json_schema_extra={"format": "int64"})
    tensors: list[str]


class RequestOut(BaseModel):
    """A request, as asker and officers see it."""

    id: str
    asked_by: str
    reason: str
    kind: ReleaseKind
    status: StatusName
    digest: str = Field(
        description="SHA-256 over plan, sources with versions, values (of a model: plan, id, parameters): "
        "what is approved."
    )
    plan_digest: str
    sources: list[RequestSourceOut]
    created_at: datetime
    expires_at: datetime
    times: Count | None = Field(description="How often the answer may be had; null: any number.")
    until: datetime | None
    standing: bool = Field(description="True: a standing rule of the datasets.")
    used: Count
    decided_by: str
    decided_at: datetime | None
    note: str = Field(description="What was said with the decision.")


class EventOut(BaseModel):
    """One line of a request's history."""

    at: datetime
    actor: str
    kind: EventKind
    text: str


class VerdictOut(BaseModel):
    """One disclosure check."""

    check: Literal[
        "access",
        "aggregate",
        "rows",
        "entities",
        "groups",
        "finite",
        "contributors",
        "dominance",
        "p_ratio",
        "followed",
        "degrees",
    ]
    subject: str
    passed: bool
    figures: str


class EarlierOut(BaseModel):
    """One dataset behind one answer that the asker had before."""

    at: datetime
    action: str
    dataset_id: str
    version: Count
    tensors: list[str]
    plan_digest: str
    same_plan: bool


class OverlapOut(BaseModel):
    """What the asker had of the same datasets before; two answers may tell more than each."""

    total: Count
    newest: list[EarlierOut]


class RequestDetail(RequestOut):
    """A request with all that a decision needs."""

    model_config = ConfigDict(json_schema_extra={"examples": [REQUEST_EXAMPLES["RequestDetail"]]})

    plan: PlanDocument
    feeds: list[Source] = Field(description="What feeds the plan's inputs.")
    values: list[Tensor]
    model_id: str | None = Field(default=None, description="The model whose parameters are asked for.")
    operations: list[str] = Field(description="The whole plan in words, a line for each operation.")
    reviewers: Count = Field(description="How many people have to agree.")
    agreed: list[str] = Field(description="Who agreed so far.")
    events: list[EventOut]
    verdicts: list[VerdictOut] | None = Field(description="For those who decide only.")
    overlap: OverlapOut | None = Field(description="For those who decide only.")


class RequestsOut(BaseModel):
    """A page of requests, newest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [REQUEST_EXAMPLES["RequestsOut"]]})

    items: list[RequestOut]
    total: Count
    offset: Count
    limit: Count


class RequestCounts(BaseModel):
    """How many of one's own requests, and of those that one may decide on, stand where."""

    model_config = ConfigDict(json_schema_extra={"examples": [REQUEST_EXAMPLES["RequestCounts"]]})

    pending: Count
    approved: Count
    denied: Count
    expired: Count
    revoked: Count
    withdrawn: Count
    used_up: Count


class ApproveIn(BaseModel):
    """Say yes: so many times, until a date, both, or as a standing rule. Nothing said is once."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [REQUEST_EXAMPLES["ApproveIn"]]})

    digest: Digest = Field(description="The request's digest, as it was read: what is approved is that.")
    times: Annotated[Count, Field(ge=1, le=10**6)] | None = None
    until: AwareDatetime | None = None
    standing: bool = False
    note: str = Field(default="", max_length=2000)


class RemarkIn(BaseModel):
    """Words to a request: a comment, or the reason of a denial, revocation or withdrawal."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [REQUEST_EXAMPLES["RemarkIn"]]})

    text: Words


class PreviewOut(BaseModel):
    """The answer, for those who may read the data anyway, and every check with its figures."""

    model_config = ConfigDict(json_schema_extra={"examples": [REQUEST_EXAMPLES["PreviewOut"]]})

    values: list[Tensor]
    verdicts: list[VerdictOut]


class NotificationOut(BaseModel):
    """Something that others did on a request, and that the caller has not marked as seen."""

    id: int = Field(json_schema_extra={"format": "int64"})
    at: datetime
    request_id: str
    asked_by: str
    kind: EventKind
    actor: str
    text: str


class NotificationsOut(BaseModel):
    """What is new, oldest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [REQUEST_EXAMPLES["NotificationsOut"]]})

    items: list[NotificationOut]
    total: Count


class SeenIn(BaseModel):
    """Mark notifications as seen."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [REQUEST_EXAMPLES["SeenIn"]]})

    up_to: int = Field(
        ge=0, le=2**53, description="Id of the last one seen.", json_schema_extra={"format": "int64"}
    )
