"""Strategies and schedules that have a name: a run can be kept, sent and taken up by another process."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from enum import StrEnum
from typing import Final

from gridward.core.errors import InvalidInputError
from gridward.core.federation.robust import FedMedian, Krum, TrimmedMean
from gridward.core.federation.scaffold import Scaffold
from gridward.core.federation.schedules import (
    Constant,
    CosineDecay,
    ExponentialDecay,
    LinearWarmup,
    RateSchedule,
    StepDecay,
)
from gridward.core.federation.server_optimizers import FedAdagrad, FedAdam, FedAvgM, FedYogi
from gridward.core.federation.strategies import FedAvg, FedProx, Strategy

Settings = dict[str, int | float]


class StrategyName(StrEnum):
    """Every strategy of this package."""

    FED_AVG = "FedAvg"
    FED_PROX = "FedProx"
    FED_AVG_M = "FedAvgM"
    FED_ADAM = "FedAdam"
    FED_YOGI = "FedYogi"
    FED_ADAGRAD = "FedAdagrad"
    SCAFFOLD = "Scaffold"
    FED_MEDIAN = "FedMedian"
    TRIMMED_MEAN = "TrimmedMean"
    KRUM = "Krum"


KINDS: Final[dict[StrategyName, type[FedAvg]]] = {
    StrategyName.FED_AVG: FedAvg,
    StrategyName.FED_PROX: FedProx,
    StrategyName.FED_AVG_M: FedAvgM,
    StrategyName.FED_ADAM: FedAdam,
    StrategyName.FED_YOGI: FedYogi,
    StrategyName.FED_ADAGRAD: FedAdagrad,
    StrategyName.SCAFFOLD: Scaffold,
    StrategyName.FED_MEDIAN: FedMedian,
    StrategyName.TRIMMED_MEAN: TrimmedMean,
    StrategyName.KRUM: Krum,
}


class ScheduleName(StrEnum):
    """Every schedule of the learning rate."""

    CONSTANT = "Constant"
    STEP_DECAY = "StepDecay"
    EXPONENTIAL_DECAY = "ExponentialDecay"
    COSINE_DECAY = "CosineDecay"
    LINEAR_WARMUP = "LinearWarmup"


SCHEDULES: Final[dict[ScheduleName, type[RateSchedule]]] = {
    ScheduleName.CONSTANT: Constant,
    ScheduleName.STEP_DECAY: StepDecay,
    ScheduleName.EXPONENTIAL_DECAY: ExponentialDecay,
    ScheduleName.COSINE_DECAY: CosineDecay,
    ScheduleName.LINEAR_WARMUP: LinearWarmup,
}


def named(strategy: Strategy) -> tuple[StrategyName, Settings] | None:
    """Give name and settings of a strategy, without its state; None if it is of somebody's own making."""
    for name, kind in KINDS.items():
        if type(strategy) is kind:
            return name, {item.name: getattr(strategy, item.name) for item in fields(kind) if item.init}
    return None


def made(name: str, settings: Mapping[str, int | float]) -> Strategy:
    """Make a strategy of that name; raises ``InvalidInputError`` if there is none, or not with these."""
    try:
        kind: Callable[..., FedAvg] = KINDS[StrategyName(name)]
        return kind(**settings)
    except (TypeError, ValueError) as why:
        raise InvalidInputError(f"{name} cannot be made with {dict(settings)}: {why}") from why
