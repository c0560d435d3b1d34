"""Datasets: named tensors that share their rows, described, tagged, with rules."""

from datetime import datetime
from typing import Annotated, Final, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_serializer

from gridward.core.schemas.access import Access
from gridward.core.schemas.tensor import StoredAs, TensorInfo

DatasetName: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Tag: TypeAlias = Annotated[str, Field(pattern=r"^#[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$")]
Column: TypeAlias = Annotated[str, Field(min_length=1, max_length=128)]
Columns: TypeAlias = Annotated[
    list[Column] | None,
    Field(
        max_length=4096,
        description="Splits a single two-dimensional array into one-dimensional columns of these names.",
    ),
]
Types: TypeAlias = Annotated[
    dict[Column, StoredAs],
    Field(
        max_length=4096,
        description="Columns that are stored as another type than the file says, or skipped.",
    ),
]
_DESCRIBE_APART: Final = (
    "Columns, shapes, counts and checks are shown to those only whom a rule lets describe it or do more; "
    "otherwise to whoever finds it."
)
_REVIEWERS: Final = "How many people have to agree to a request for it; 0: it takes none."


class Bounds(BaseModel):
    """The range that the owner vouches for, in the column's own unit."""

    model_config = ConfigDict(extra="forbid")

    low: float = Field(allow_inf_nan=False, json_schema_extra={"format": "double"})
    high: float = Field(allow_inf_nan=False, json_schema_extra={"format": "double"})


class Disclosure(BaseModel):
    """Thresholds on who is behind an answer; null: that is not looked at. They do not stop differencing."""

    model_config = ConfigDict(extra="forbid")

    entities: int | None = Field(
        default=None,
        ge=1,
        le=10**9,
        description="Fewest distinct entities behind a value; null: as many as min_rows.",
        json_schema_extra={"format": "int32"},
    )
    largest_two: float | None = Field(
        default=0.9,
        gt=0,
        le=1,
        description="Most that the two largest contributors may be of a total, in absolute values.",
        json_schema_extra={"format": "double"},
    )
    p_ratio: float | None = Field(
        default=0.1,
        ge=0,
        le=100,
        description="Least that all but the two largest contribute, as a part of the largest.",
        json_schema_extra={"format": "double"},
    )
    residual_degrees: int | None = Field(
        default=10,
        ge=0,
        le=10**9,
        description="Fewest entities more than parameters of a fitted model.",
        json_schema_extra={"format": "int32"},
    )
    parameter_share: float | None = Field(
        default=0.33,
        gt=0,
        le=10**6,
        description="Most parameters of a fitted model for each entity.",
        json_schema_extra={"format": "double"},
    )
    round_counts: int = Field(
        default=1,
        ge=1,
        le=1000,
        description="Counts of conditions and histograms are rounded to multiples of it; 1: they are exact.",
        json_schema_extra={"format": "int32"},
    )

    @model_serializer
    def whole(self) -> dict[str, float | int | None]:
        """Null means something here, so that it travels whatever else is left out."""
        return dict(self)


_ROWS_ARE_ENTITIES: Final = (
    "Every row is an entity of its own. Where neither this nor an entity column says whose the rows are, "
    "there are no checked answers."
)


class DatasetIn(BaseModel):
    """Publish an uploaded file as a dataset."""

    model_config = ConfigDict(extra="forbid")

    name: DatasetName
    description: str = Field(default="", max_length=4000)
    tags: list[Tag] = Field(default=[], max_length=64)
    upload_id: str = Field(max_length=64)
    columns: Columns = None
    types: Types = {}
    access: Access = Access()
    entity: Column | None = Field(default=None, description="Column that names the data subject of each row.")
    rows_are_entities: bool = Field(default=False, description=_ROWS_ARE_ENTITIES)
    disclosure: Disclosure = Disclosure()
    bounds: dict[str, Bounds] = Field(default={}, description="Per column.")
    min_rows: int = Field(
        default=10,
        ge=1,
        le=10**9,
        description="Fewest rows behind a released aggregate.",
        json_schema_extra={"format": "int32"},
    )
    reviewers: int = Field(
        default=1, ge=0, le=2, description=_REVIEWERS, json_schema_extra={"format": "int32"}
    )


class DatasetPatch(BaseModel):
    """Change what is said of a dataset or who may do what; absent fields stay."""

    model_config = ConfigDict(extra="forbid")

    description: str | None = Field(default=None, max_length=4000)
    tags: list[Tag] | None = Field(default=None, max_length=64)
    access: Access | None = None
    rows_are_entities: bool | None = Field(default=None, description=_ROWS_ARE_ENTITIES)
    disclosure: Disclosure | None = Field(default=None, description="Replaces all thresholds.")
    bounds: dict[str, Bounds] | None = None
    describe_apart: bool | None = Field(default=None, description=_DESCRIBE_APART)
    min_rows: int | None = Field(default=None, ge=1, le=10**9, json_schema_extra={"format": "int32"})
    reviewers: int | None = Field(
        default=None, ge=0, le=2, description=_REVIEWERS, json_schema_extra={"format": "int32"}
    )


class ContentIn(BaseModel):
    """Put a complete upload in place of a dataset's values, as its next version."""

    model_config = ConfigDict(extra="forbid")

    upload_id: str = Field(max_length=64)
    columns: Columns = None


class DatasetVersion(BaseModel):
    """One content that a dataset had."""

    version: int = Field(json_schema_extra={"format": "int32"})
    rows: int = Field(json_schema_extra={"format": "int64"})
    entities: int | None = Field(
        description="How many the entity column names; null where there is none.",
        json_schema_extra={"format": "int64"},
    )
    put_by: str
    put_at: datetime


class DatasetVersionsOut(BaseModel):
    """Every content that a dataset had, the newest first."""

    items: list[DatasetVersion]


class StandingRule(BaseModel):
    """A question that one user may ask whenever they like, by its hash; revoke its request to end it."""

    user: str
    question: str = Field(description="SHA-256 over plan, sources without versions, and public values.")
    request_id: str
    made_by: str
    made_at: datetime


class DatasetOut(BaseModel):
    """What a caller who may discover a dataset sees. Never values.

    Who may not describe it gets the first line of its description, no columns, and null for what is said of
    its rows.
    """

    id: str
    name: str
    description: str
    tags: list[str]
    version: int = Field(json_schema_extra={"format": "int32"})
    rows: int | None = Field(json_schema_extra={"format": "int64"})
    tensors: list[TensorInfo]
    entity: str | None
    rows_are_entities: bool | None
    disclosure: Disclosure | None
    bounds: dict[str, Bounds]
    min_rows: int | None = Field(json_schema_extra={"format": "int32"})
    describe_apart: bool = Field(description=_DESCRIBE_APART)
    reviewers: int = Field(description=_REVIEWERS, json_schema_extra={"format": "int32"})
    published_by: str
    created_at: datetime
    verbs: list[str] = Field(
        description="What this caller may do: discover, describe, compute, raw, train, export_model, approve."
    )
    access: Access | None = Field(description="The rules; for the publisher and the node's owner only.")
    standing_rules: list[StandingRule] | None = Field(
        description="Questions that were opened for good; for the publisher and the node's owner only."
    )


class DatasetsOut(BaseModel):
    """A page of datasets."""

    items: list[DatasetOut]
    total: int = Field(json_schema_extra={"format": "int32"})
    offset: int = Field(json_schema_extra={"format": "int32"})
    limit: int = Field(json_schema_extra={"format": "int32"})
