"""Federated learning over nodes: each trains on its own rows, side by side; a strategy joins the results."""

import copy
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final

import torch

from gridward.client.dataset_pointers import DatasetPointer
from gridward.client.federation.gathering import Gathering, Parameters, PlainGathering
from gridward.client.federation.history import RoundReport, TrainingResult
from gridward.client.federation.presence import Presence, unknown
from gridward.client.federation.rounds import Means, MissedQuorumError, Round
from gridward.client.federation.sites import sites_of
from gridward.client.federation.terms import Deadline, Terms
from gridward.client.progress import bar
from gridward.client.training import Recipe, Run
from gridward.core.errors import InvalidInputError, NotAvailableYetError
from gridward.core.federation.scaffold import Scaffold
from gridward.core.federation.strategies import Strategy
from gridward.core.plans.optimizers import SGD

_AT_ONCE: Final = 32
_FIRST_PAUSE_S: Final = 0.5
_MOST_PAUSE_S: Final = 30.0
_ALL_ANSWER: Final = Terms()


def train(
    model: torch.nn.Module,
    data: Iterable[DatasetPointer],
    *,
    recipe: Recipe,
    rounds: int,
    run: Run,
    strategy: Strategy,
    terms: Terms = _ALL_ANSWER,
    presence: Presence = unknown,
    gathering: Gathering | None = None,
    shown: bool | None = None,
) -> TrainingResult:
    """Train over several nodes; the given model stays as it is.

    Every round each node starts from the joint parameters and a fresh optimizer, and trains ``run.epochs``
    over its rows. A node that fails or is late is named in the history and asked again next round.
    ``TrainingError`` names all of them if fewer answer than ``strategy`` and ``terms`` want, for longer than
    ``terms`` wait.
    """
    _require_matching_rate(strategy, recipe)
    sites = sites_of(data, recipe)
    lesson = recipe.lesson(model, *next(iter(sites.values())).pair, strategy.local)
    result = copy.deepcopy(model).to("cpu")
    own = result.state_dict()
    joint = {name: value for name, value in lesson.parameters.items() if name in own}
    history: list[RoundReport] = []
    way = gathering if gathering is not None else PlainGathering()
    with bar("Federated training", rounds, shown=shown) as advance, ThreadPoolExecutor(_AT_ONCE) as pool:

        def tell(text: str) -> None:
            advance(len(history), text)

        means = Means(sites, lesson, strategy, way, terms, presence, pool, tell)
        for number in range(rounds):
            joint, report = _counted(number, means, run, joint)
            history.append(report)
            tell(_note(report))
    with torch.no_grad():
        for name, value in joint.items():
            own[name].copy_(value)
    return TrainingResult(result, history)


def _counted(
    number: int, means: Means, run: Run, joint: Parameters
) -> tuple[dict[str, torch.Tensor], RoundReport]:
    """Perform a round until it counts, or its terms wait no longer: then raises ``MissedQuorumError``."""
    wait: Deadline | None = None
    pause_s = _FIRST_PAUSE_S
    while True:
        this = Round(number, means, replace(run, seed=run.seed + number))
        try:
            return this.perform(joint), this.report()
        except MissedQuorumError as why:
            wait = wait or Deadline(means.terms.wait_s)
            if wait.passed:
                raise
            means.tell(f"{why.detail}; they are asked again")
            time.sleep(wait.left_s(pause_s))
            pause_s = min(2 * pause_s, _MOST_PAUSE_S)


def refuse_unavailable(dp: object) -> None:
    """Refuse what this version does not offer, rather than train without the protection asked for."""
    if dp is not None:
        raise NotAvailableYetError("dp (differentially private training) is not part of this version")


def _require_matching_rate(strategy: Strategy, recipe: Recipe) -> None:
    """SCAFFOLD learns each node's direction from how far it went, which needs to know how it steps."""
    if not isinstance(strategy, Scaffold):
        return
    optimizer = recipe.chosen_optimizer()
    if not isinstance(optimizer, SGD) or optimizer.momentum or optimizer.lr != strategy.local_rate:
        raise InvalidInputError(
            f"Scaffold(local_rate={strategy.local_rate:g}) needs optimizer=SGD(lr={strategy.local_rate:g}) "
            f"without momentum; this is {optimizer}"
        )


def _note(report: RoundReport) -> str:
    loss = report.metrics.get("loss")
    lost = f", without {', '.join(sorted(report.failures))}" if report.failures else ""
    return (f"loss {loss:.4f}" if loss is not None else "") + lost
