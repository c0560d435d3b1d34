"""Plan and Step: the one description of a computation, as frozen values (design: ``docs/plans.md``)."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from gridward.core.plans.ops import Op

FORMAT = "gridward.plan"
VERSION = 1


class Kind(StrEnum):
    """What a plan is for."""

    INFERENCE = "inference"
    TRAINING = "training"
    STATISTICS = "statistics"
    EVALUATION = "evaluation"


class Role(StrEnum):
    """What an input or output means to a runner.

    ``RANDOM``: uniform numbers in [0, 1) that the runner draws anew for each row of each step.
    """

    PARAM = "param"
    STATE = "state"
    DATA = "data"
    TARGET = "target"
    HYPER = "hyper"
    RANDOM = "random"
    LOSS = "loss"
    METRIC = "metric"
    OUTPUT = "output"


class DType(StrEnum):
    """Element types that travel; names are torch's."""

    FLOAT32 = "float32"
    FLOAT64 = "float64"
    INT32 = "int32"
    INT64 = "int64"
    UINT8 = "uint8"
    BOOL = "bool"


@dataclass(frozen=True, slots=True)
class Dim:
    """A size that is known only when the plan runs, such as the batch."""

    name: str


Size: TypeAlias = int | Dim


@dataclass(frozen=True, slots=True)
class Ref:
    """The value of an input, a constant or an earlier step, by name."""

    name: str


Argument: TypeAlias = (
    bool
    | int
    | float
    | str
    | DType
    | Ref
    | tuple[Ref | None, ...]
    | tuple[Size, ...]
    | tuple[bool, ...]
    | None
)


@dataclass(frozen=True, slots=True)
class Input:
    """A named value that the runner feeds."""

    name: str
    role: Role
    dtype: DType
    shape: tuple[Size, ...]


@dataclass(frozen=True, slots=True)
class Constant:
    """A public value inside the plan; ``data`` is little-endian, row-major."""

    name: str
    dtype: DType
    shape: tuple[int, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class Step:
    """One operation. ``args`` follow the order of the ATen schema, keyword-only ones included."""

    op: Op
    args: tuple[Argument, ...]
    out: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Output:
    """A named result; a ``param`` output replaces the input of the same name."""

    name: str
    role: Role
    ref: str


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run costs, estimated when the plan was built."""

    flops_per_sample: int
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class DimRange:
    """Bounds of a dynamic size; ``high`` is None where open."""

    low: int = 1
    high: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Inputs, constants, steps in order, outputs; made by ``trace`` or ``expression``, read by ``codec``."""

    name: str
    kind: Kind
    producer: str
    dims: tuple[tuple[str, DimRange], ...]
    inputs: tuple[Input, ...]
    constants: tuple[Constant, ...]
    steps: tuple[Step, ...]
    outputs: tuple[Output, ...]
    cost: Cost | None = None
    opset: str = "aten-core-1"
