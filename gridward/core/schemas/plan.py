"""The plan document as OpenAPI clients see it. ``core.plans.codec`` gives it meaning and checks it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from gridward.core.schemas.tensor import DTypeName, Extent


class PlanDimension(BaseModel):
    """Bounds of a size that is known only when the plan runs."""

    model_config = ConfigDict(extra="forbid")

    min: int = Field(default=1, ge=0, json_schema_extra={"format": "int64"})
    max: int | None = Field(default=None, ge=0, json_schema_extra={"format": "int64"})


class PlanInput(BaseModel):
    """A named value that the runner feeds; size 0 with an entry in `dims` is dynamic."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=128)
    role: Literal["param", "state", "data", "target", "hyper", "random"]
    dtype: DTypeName
    shape: list[Extent] = Field(max_length=8)
    dims: dict[str, str] | None = None


class PlanConstant(BaseModel):
    """A public value inside the plan, base64 of little-endian bytes."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=128)
    dtype: DTypeName
    shape: list[Extent] = Field(max_length=8)
    data: str


class PlanArgument(BaseModel):
    """Exactly one field is set, or none for an absent argument; `dims` only with `ints`."""

    model_config = ConfigDict(extra="forbid")

    ref: str | None = Field(default=None, max_length=128)
    refs: list[str | None] | None = None
    int_: int | None = Field(default=None, alias="int", json_schema_extra={"format": "int64"})
    ints: list[int] | None = None
    dims: dict[str, str] | None = None
    num: float | None = Field(default=None, allow_inf_nan=False, json_schema_extra={"format": "double"})
    special: Literal["inf", "-inf", "nan"] | None = None
    bool_: bool | None = Field(default=None, alias="bool")
    bools: list[bool] | None = None
    str_: str | None = Field(default=None, alias="str", max_length=128)
    dtype: DTypeName | None = None


class PlanOperation(BaseModel):
    """One step."""

    model_config = ConfigDict(extra="forbid")

    op: str = Field(max_length=128)
    args: list[PlanArgument] = Field(max_length=64)
    out: list[str] = Field(max_length=16)


class PlanOutput(BaseModel):
    """A named result."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=128)
    role: Literal["loss", "metric", "param", "state", "output"]
    ref: str = Field(max_length=128)


class PlanCost(BaseModel):
    """What one run costs, as its author estimated."""

    model_config = ConfigDict(extra="forbid")

    flops_per_sample: int = Field(ge=0, json_schema_extra={"format": "int64"})
    peak_bytes: int = Field(ge=0, json_schema_extra={"format": "int64"})


class PlanDocument(BaseModel):
    """A plan, `format` gridward.plan."""

    model_config = ConfigDict(extra="forbid")

    format: Literal["gridward.plan"] = "gridward.plan"
    version: Literal[1] = 1
    opset: str = Field(default="aten-core-1", max_length=64)
    kind: Literal["inference", "training", "statistics", "evaluation"]
    name: str = Field(max_length=128)
    producer: str = Field(default="", max_length=128)
    dims: dict[str, PlanDimension] = {}
    inputs: list[PlanInput] = Field(max_length=20_000)
    constants: list[PlanConstant] = Field(default=[], max_length=20_000)
    ops: list[PlanOperation] = Field(max_length=20_000)
    outputs: list[PlanOutput] = Field(min_length=1, max_length=20_000)
    cost: PlanCost | None = None
