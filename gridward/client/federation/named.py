"""Strategies and schedules as documents: a name and settings."""

from collections.abc import Callable
from dataclasses import fields

from gridward.core.errors import InvalidInputError
from gridward.core.federation import known
from gridward.core.federation.known import SCHEDULES, ScheduleName
from gridward.core.federation.schedules import RateSchedule
from gridward.core.federation.strategies import Strategy
from gridward.core.schemas.runs import ScheduleSetup, StrategySetup


def strategy_document(strategy: Strategy) -> StrategySetup | None:
    """Write a strategy without its state; None if it is of the user's own making."""
    named = known.named(strategy)
    return None if named is None else StrategySetup(name=named[0], settings=named[1])


def strategy_of(said: StrategySetup | None, given: Strategy | None) -> Strategy:
    """Read a strategy; one of the user's own making has to be given.

    Raises ``InvalidInputError`` if it is not, or if another one is given.
    """
    if said is None:
        if given is None:
            raise InvalidInputError("this run has a strategy of your own making; give it as strategy=")
        return given
    if given is not None and strategy_document(given) != said:
        raise InvalidInputError(
            f"this run was started with {said.name} and {said.settings}; leave strategy= out"
        )
    return known.made(said.name, said.settings)


def schedule_document(schedule: RateSchedule) -> ScheduleSetup:
    """Write a schedule."""
    name = next(name for name, kind in SCHEDULES.items() if type(schedule) is kind)
    held = {item.name: getattr(schedule, item.name) for item in fields(schedule)}
    then = held.pop("then", None)
    return ScheduleSetup(name=name, settings=held, then=None if then is None else schedule_document(then))


def schedule_of(said: ScheduleSetup) -> RateSchedule:
    """Read a schedule; raises ``InvalidInputError`` if there is none of that name, or not with these."""
    try:
        kind: Callable[..., RateSchedule] = SCHEDULES[ScheduleName(said.name)]
        after = {} if said.then is None else {"then": schedule_of(said.then)}
        return kind(**said.settings, **after)
    except (TypeError, ValueError) as why:
        raise InvalidInputError(f"{said.name} cannot be made with {said.settings}: {why}") from why
