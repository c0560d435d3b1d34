"""Runs: federated trainings as they are kept, told and followed. Numbers and names, never parameters."""

from typing import Annotated

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


class RunProgress(BaseModel):
    """How far a run is: what a checkpoint's tensors belong to."""

    model_config = ConfigDict(extra="forbid")

    tensors: str = Field(description="The file of the joint parameters and of the strategy's arrays.")
    strategy: object = Field(description="The strategy's state; arrays by their names in that file.")
    best_round: int | None = Field(default=None, ge=0)
    best_loss: float | None = None
    history: list[RoundRecord]
