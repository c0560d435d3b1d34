"""Starting a run from a module and datasets, or going on with one: what ``grid.train`` and ``resume`` do."""

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

import torch

from gridward.client.dataset_pointers import DatasetPointer
from gridward.client.federation import driver
from gridward.client.federation.checkpoints import Checkpoints, default_folder
from gridward.client.federation.driver import Surroundings
from gridward.client.federation.following import CancelledRunError
from gridward.client.federation.history import TrainingResult
from gridward.client.federation.secure import Secure, gathering_of
from gridward.client.federation.secure import restored as restored_secure
from gridward.client.federation.secure import setup_of as secure_setup
from gridward.client.federation.setup import Choice, Setup, restored
from gridward.client.federation.sites import sites_of
from gridward.client.federation.state import State
from gridward.client.federation.terms import Terms
from gridward.client.place import Place, segment
from gridward.client.training import Recipe, Run
from gridward.core.errors import GridError, InvalidInputError, NotAvailableYetError
from gridward.core.federation.scaffold import Scaffold
from gridward.core.federation.schedules import Constant, RateSchedule
from gridward.core.federation.strategies import Strategy
from gridward.core.plans.optimizers import SGD

_ALL_ANSWER: Final = Terms()
_THE_LAST: Final = Choice()
_SAME_RATE: Final = Constant()
_ALONE: Final = Surroundings()


def train(
    model: torch.nn.Module,
    data: Iterable[DatasetPointer],
    *,
    recipe: Recipe,
    rounds: int,
    run: Run,
    strategy: Strategy,
    terms: Terms = _ALL_ANSWER,
    choice: Choice = _THE_LAST,
    schedule: RateSchedule = _SAME_RATE,
    checkpoint: str | Path | bool = False,
    secure: bool | Secure = False,
    around: Surroundings = _ALONE,
) -> TrainingResult:
    """Train over several nodes; the given model stays as it is.

    ``checkpoint``: a folder to keep every round in, or True for one by the run's id under the user's data
    folder, which is taken away when the run has ended. Raises as ``driver.start``.
    """
    pointers = list(data)
    gathering = gathering_of(pointers, strategy, secure)
    setup = _setup(model, pointers, recipe, rounds, run, strategy, terms, choice, schedule)
    setup = replace(setup, secure=secure_setup(secure))
    return perform(model, setup, checkpoint, replace(around, gathering=gathering))


def perform(
    model: torch.nn.Module, setup: Setup, checkpoint: str | Path | bool, around: Surroundings
) -> TrainingResult:
    """Drive a run from its beginning; see ``train``."""
    if checkpoint is False:
        return driver.result_of(model, setup, driver.start(setup, around))
    passing = checkpoint is True
    kept = Checkpoints(default_folder(setup.id) if isinstance(checkpoint, bool) else Path(checkpoint))
    where = replace(around, checkpoints=kept)
    state = _kept(setup, kept, passing, lambda: driver.start(setup, where))
    return driver.result_of(model, setup, state)


def resume(
    run: str | Path,
    model: torch.nn.Module,
    *,
    place: Callable[[str], Place],
    strategy: Strategy | None = None,
    secure: bool | Secure = False,
    around: Surroundings = _ALONE,
) -> TrainingResult:
    """Go on with a run, by id or by the folder of its checkpoints; ``model`` says what its tensors are of.

    Raises ``ObjectNotFoundError`` if there is none, ``ConflictError`` if another process drives it.
    """
    passing = isinstance(run, str) and os.sep not in run
    kept = Checkpoints(default_folder(segment(str(run))) if passing else Path(run))
    said, parameters = kept.setup()
    secure = restored_secure(said.secure, secure)
    setup = restored(said, parameters, place, strategy)
    data = [site.data for site in setup.sites.values()]
    gathering = gathering_of(data, setup.strategy, secure, resumed=True)
    where = replace(around, checkpoints=kept, gathering=gathering)
    state = _kept(setup, kept, passing, lambda: driver.resume(setup, where))
    return driver.result_of(model, setup, state)


def refuse_unavailable(dp: object) -> None:
    """Refuse what this version does not offer, rather than train without the protection asked for."""
    if dp is not None:
        raise NotAvailableYetError("dp (differentially private training) is not part of this version")


def _setup(
    model: torch.nn.Module,
    data: Iterable[DatasetPointer],
    recipe: Recipe,
    rounds: int,
    run: Run,
    strategy: Strategy,
    terms: Terms,
    choice: Choice,
    schedule: RateSchedule,
) -> Setup:
    _require_matching_rate(strategy, recipe, schedule)
    sites = sites_of(data, recipe)
    lesson = recipe.lesson(model, *next(iter(sites.values())).pair, strategy.local)
    own = model.state_dict()
    names = tuple(name for name in lesson.parameters if name in own)
    return Setup(sites, lesson, names, run, rounds, strategy, terms, choice, schedule)


def _kept(setup: Setup, kept: Checkpoints, passing: bool, drive: Callable[[], State]) -> State:
    """Drive a run; one that stops says how to go on. A passing folder goes when the run has ended."""
    try:
        state = drive()
    except CancelledRunError:
        if passing:
            kept.remove()
        raise
    except GridError as why:
        if not kept.taken:
            raise
        if kept.state() is None:
            if passing:
                kept.remove()
            raise
        again = (
            f"{setup.id if passing else str(kept.folder)!r}, model{', secure=True' if setup.secure else ''}"
        )
        raise type(why)(f"{why.detail}; grid.resume({again}) goes on after its last round") from why
    if passing:
        kept.remove()
    return state


def _require_matching_rate(strategy: Strategy, recipe: Recipe, schedule: RateSchedule) -> None:
    """SCAFFOLD learns each node's direction from how far it went, which needs to know how it steps."""
    if not isinstance(strategy, Scaffold):
        return
    optimizer = recipe.chosen_optimizer()
    if not isinstance(optimizer, SGD) or optimizer.momentum or optimizer.lr != strategy.local_rate:
        raise InvalidInputError(
            f"Scaffold(local_rate={strategy.local_rate:g}) needs optimizer=SGD(lr={strategy.local_rate:g}) "
            f"without momentum; this is {optimizer}"
        )
    if schedule != _SAME_RATE:
        raise InvalidInputError("Scaffold needs the same learning rate in every round; leave schedule= out")
