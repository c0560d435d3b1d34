"""Runs: federated trainings as they are kept, told and followed. Numbers and names, never parameters."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from gridward.core.schemas.plan import PlanDocument
from gridward.core.schemas.tensor import TensorInfo
from gridward.core.schemas.trainings import Hyper

Number = Annotated[float, Field(allow_inf_nan=False, json_schema_extra={"format": "double"})]
Metrics = Annotated[dict[Annotated[str, StringConstraints(max_length=64)], Number], Field(max_length=64)]
NodeName = Annotated[str, StringConstraints(min_length=1, max_length=64)]
RUN_ID_PATTERN = r"^run-[0-9a-f]{24}$"
MOST_NODES = 1000
MOST_ROUNDS = 10**6


class NodeRound(BaseModel):
    """What one node did in one round."""

    model_config = ConfigDict(extra="forbid")

    node: NodeName
    rows: int = Field(ge=0, le=2**53 - 1, json_schema_extra={"format": "int64"})
    seconds: float = Field(
        ge=0,
        allow_inf_nan=False,
        json_schema_extra={"format": "double"},
        description="Of work on the node.",
    )
    metrics: Metrics = Field(description="Loss and metrics of its last local epoch.")
    validation: Metrics = Field(default={}, description="Of the parameters as it received them.")
    validation_rows: int = Field(default=0, ge=0, le=2**53 - 1, json_schema_extra={"format": "int64"})
    sent_bytes: int = Field(default=0, ge=0, le=2**53 - 1, json_schema_extra={"format": "int64"})
    received_bytes: int = Field(default=0, ge=0, le=2**53 - 1, json_schema_extra={"format": "int64"})


class RoundRecord(BaseModel):
    """One round that counted."""

    model_config = ConfigDict(extra="forbid")

    number: int = Field(ge=1, le=MOST_ROUNDS, json_schema_extra={"format": "int32"})
    seconds: float = Field(ge=0, allow_inf_nan=False, json_schema_extra={"format": "double"})
    nodes: list[NodeRound] = Field(max_length=MOST_NODES)
    failures: dict[NodeName, Annotated[str, StringConstraints(max_length=2000)]] = Field(
        default={}, max_length=MOST_NODES, description="Nodes that were left out, and why."
    )
    validation: Metrics = Field(
        default={}, description="Of the model that this round made; known one round later."
    )


class RunState(StrEnum):
    """Where a run stands. Paused and cancelled is its starter's word, done and failed its driver's."""

    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class RunIn(BaseModel):
    """A driver begins a run, or takes one up again that it began before."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(pattern=RUN_ID_PATTERN, description="Drawn by the driver.")
    model: str = Field(max_length=100, description="What is trained, in a word.")
    strategy: str = Field(max_length=100)
    nodes: list[NodeName] = Field(min_length=1, max_length=MOST_NODES)
    rounds: int = Field(ge=1, le=MOST_ROUNDS, json_schema_extra={"format": "int32"})


class RunWord(BaseModel):
    """A driver's word on its run: it goes on, waits for something, or has ended."""

    model_config = ConfigDict(extra="forbid")

    state: Literal[RunState.RUNNING, RunState.DONE, RunState.FAILED] = RunState.RUNNING
    detail: str = Field(default="", max_length=2000, description="What it waits for, or why it failed.")
    best_round: int | None = Field(default=None, ge=0, json_schema_extra={"format": "int32"})


class RunOut(BaseModel):
    """A run as the gateway knows it: numbers and names, never parameters."""

    id: str
    started_by: str
    model: str
    strategy: str
    nodes: list[str]
    rounds: int = Field(json_schema_extra={"format": "int32"})
    rounds_done: int = Field(json_schema_extra={"format": "int32"})
    state: RunState
    detail: str
    best_round: int | None = Field(json_schema_extra={"format": "int32"})
    loss: float | None = Field(
        json_schema_extra={"format": "double"}, description="Of the last round, weighted by rows."
    )
    revision: int = Field(
        json_schema_extra={"format": "int32"}, description="Grows with every change: the id of its event."
    )
    created_at: datetime
    heard_at: datetime = Field(description="When its driver last said anything.")


class RunsOut(BaseModel):
    """A page of runs, the newest first."""

    items: list[RunOut]
    total: int = Field(json_schema_extra={"format": "int32"})
    offset: int = Field(json_schema_extra={"format": "int32"})
    limit: int = Field(json_schema_extra={"format": "int32"})


class RoundsOut(BaseModel):
    """A page of a run's rounds, the first first."""

    items: list[RoundRecord]
    total: int = Field(json_schema_extra={"format": "int32"})
    offset: int = Field(json_schema_extra={"format": "int32"})
    limit: int = Field(json_schema_extra={"format": "int32"})


class SiteSetup(BaseModel):
    """A dataset that takes part."""

    model_config = ConfigDict(extra="forbid")

    node_id: str = Field(max_length=64)
    dataset_id: str = Field(max_length=64)
    dataset: str = Field(max_length=64)
    inputs: TensorInfo
    targets: TensorInfo


class StrategySetup(BaseModel):
    """One of the built-in strategies, and its settings."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=32)
    settings: dict[Annotated[str, StringConstraints(max_length=32)], int | Number] = Field(
        default={}, max_length=16
    )


class ScheduleSetup(BaseModel):
    """A schedule of the learning rate, and the one after it."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=32)
    settings: dict[Annotated[str, StringConstraints(max_length=32)], int | Number] = Field(
        default={}, max_length=16
    )
    then: "ScheduleSetup | None" = None


class SecureSetup(BaseModel):
    """How updates are added up."""

    model_config = ConfigDict(extra="forbid")

    clip: float = Field(gt=0, allow_inf_nan=False)
    quorum: int = Field(ge=2)
    aggregators: list[NodeName] = Field(default=[], max_length=MOST_NODES, description="Empty: any.")


class RunSetup(BaseModel):
    """All that a driver needs of a run besides tensors: what a checkpoint begins with."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(pattern=RUN_ID_PATTERN)
    plan: PlanDocument
    evaluation: PlanDocument
    hyper: list[Hyper] = Field(max_length=64)
    model_names: list[Annotated[str, StringConstraints(max_length=200)]] = Field(
        max_length=4096, description="Tensors that are the model's; others are state of the optimizer."
    )
    sites: list[SiteSetup] = Field(min_length=1, max_length=MOST_NODES)
    strategy: StrategySetup | None = Field(description="Null: one of the user's own making.")
    rounds: int = Field(ge=1, le=MOST_ROUNDS)
    epochs: int = Field(ge=1, le=10_000)
    batch_size: int = Field(ge=1, le=10**7)
    seed: int = Field(ge=0, lt=2**53)
    deadline_s: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    quorum: int | float | None = Field(default=None, gt=0)
    wait_s: float = Field(default=0, ge=0, allow_inf_nan=False)
    validation: float = Field(default=0, ge=0, le=0.5)
    patience: int | None = Field(default=None, ge=1)
    schedule: ScheduleSetup
    secure: SecureSetup | None = Field(default=None, description="Updates come back as sums only.")


class RunProgress(BaseModel):
    """How far a run is: what a checkpoint's tensors belong to."""

    model_config = ConfigDict(extra="forbid")

    tensors: str = Field(description="The file of the joint parameters and of the strategy's arrays.")
    strategy: object = Field(description="The strategy's state; arrays by their names in that file.")
    best_round: int | None = Field(default=None, ge=0)
    best_loss: float | None = None
    ended: bool = Field(default=False, description="No round follows.")
    history: list[RoundRecord]
