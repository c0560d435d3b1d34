"""Federated learning over nodes: each trains on its own rows, side by side; a strategy joins the results."""

import copy
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import torch

from gridward.client import training
from gridward.client.dataset_pointers import DatasetPointer
from gridward.client.parcels import Parcel
from gridward.client.progress import bar
from gridward.client.training import Lesson, Recipe, Run
from gridward.core.errors import (
    GetNotPermittedError,
    GridError,
    InvalidInputError,
    NotAvailableYetError,
    TrainingError,
)
from gridward.core.federation.aggregate import Update
from gridward.core.federation.scaffold import Scaffold
from gridward.core.federation.strategies import RoundPlan, Strategy
from gridward.core.plans.optimizers import ANCHOR, CONTROL, SGD
from gridward.core.schemas.tensor import TensorInfo
from gridward.core.schemas.trainings import TrainingOut

_AT_ONCE: Final = 32


@dataclass(frozen=True, slots=True)
class NodeReport:
    """What one node did in one round."""

    node: str
    rows: int
    seconds: float
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class RoundReport:
    """One round: what each node did, and why others did not. ``metrics`` are means weighted by rows."""

    number: int
    seconds: float
    nodes: tuple[NodeReport, ...]
    failures: Mapping[str, str]

    @property
    def metrics(self) -> dict[str, float]:
        """Loss and metrics of the nodes' last local epoch, weighted by rows."""
        rows = sum(report.rows for report in self.nodes)
        names = {name for report in self.nodes for name in report.metrics}
        return {
            name: sum(report.metrics.get(name, 0.0) * report.rows for report in self.nodes) / rows
            for name in sorted(names)
        }


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """A trained model and how it got there."""

    model: torch.nn.Module = field(repr=False)
    history: list[RoundReport]


@dataclass(frozen=True, slots=True)
class _Site:
    """A dataset that takes part, with its inputs and targets."""

    data: DatasetPointer
    pair: tuple[TensorInfo, TensorInfo]

    @property
    def name(self) -> str:
        return self.data.location.name


def train(
    model: torch.nn.Module,
    data: Iterable[DatasetPointer],
    *,
    recipe: Recipe,
    rounds: int,
    run: Run,
    strategy: Strategy,
    shown: bool | None = None,
) -> TrainingResult:
    """Train over several nodes; the given model stays as it is.

    Every round each node starts from the joint parameters and a fresh optimizer, and trains ``run.epochs``
    over its rows. A node that fails is named in the history and asked again next round; ``TrainingError``
    names all of them if fewer answer than the strategy wants.
    """
    _require_matching_rate(strategy, recipe)
    sites = {site.name: site for site in _sites(data, recipe)}
    lesson = recipe.lesson(model, *next(iter(sites.values())).pair, strategy.local)
    result = copy.deepcopy(model).to("cpu")
    own = result.state_dict()
    joint = {name: value for name, value in lesson.parameters.items() if name in own}
    history: list[RoundReport] = []
    with bar("Federated training", rounds, shown=shown) as advance, ThreadPoolExecutor(_AT_ONCE) as pool:
        for number in range(rounds):
            this = _Round(number, sites, lesson, replace(run, seed=run.seed + number), strategy)
            joint = this.perform(pool, joint)
            history.append(this.report())
            advance(number + 1, _note(history[-1]))
    with torch.no_grad():
        for name, value in joint.items():
            own[name].copy_(value)
    return TrainingResult(result, history)


class _Round:
    """One round in the making: updates are folded as they arrive."""

    def __init__(
        self, number: int, sites: Mapping[str, _Site], lesson: Lesson, run: Run, strategy: Strategy
    ) -> None:
        self._number = number
        self._sites = sites
        self._lesson = lesson
        self._run = run
        self._strategy = strategy
        self._reports: list[NodeReport] = []
        self._failures: dict[str, str] = {}
        self._started = time.monotonic()

    def perform(self, pool: ThreadPoolExecutor, joint: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Let all nodes train, and join what they return."""
        plan = self._strategy.configure_round(self._number, list(self._sites))
        before = {name: value.numpy() for name, value in joint.items()}
        after = self._strategy.aggregate(self._number, before, self._updates(pool, plan, joint))
        return {name: torch.from_numpy(np.asarray(value)) for name, value in after.items()}

    def report(self) -> RoundReport:
        """Say what happened."""
        seconds = time.monotonic() - self._started
        reports = tuple(sorted(self._reports, key=lambda report: report.node))
        return RoundReport(self._number + 1, seconds, reports, dict(self._failures))

    def _updates(
        self, pool: ThreadPoolExecutor, plan: RoundPlan, joint: Mapping[str, torch.Tensor]
    ) -> Iterator[Update]:
        before = dict(self._lesson.parameters) | dict(joint)
        before |= {f"{ANCHOR}{name}": value for name, value in joint.items() if f"{ANCHOR}{name}" in before}
        with Parcel(before) as shared:
            work = {
                pool.submit(self._train_at, name, before, shared, _controls(plan, name, before)): name
                for name in plan.nodes
            }
            for done in as_completed(work):
                name = work.pop(done)
                try:
                    out, values = done.result()
                except GridError as why:
                    self._failures[name] = why.detail
                    continue
                last = dict(out.history[-1].values) if out.history else {}
                self._reports.append(NodeReport(name, out.rows, out.seconds, last))
                arrays = {key: value.numpy() for key, value in values.items() if key in joint}
                yield Update(name, out.rows, arrays, sum(epoch.steps for epoch in out.history))
        if len(self._reports) < plan.quorum:
            raise TrainingError(
                f"round {self._number + 1}: {len(self._reports)} of {len(plan.nodes)} nodes answered, "
                f"{plan.quorum} are needed; {_listed(self._failures)}"
            )

    def _train_at(
        self,
        name: str,
        before: Mapping[str, torch.Tensor],
        shared: Parcel,
        controls: Mapping[str, torch.Tensor],
    ) -> tuple[TrainingOut, dict[str, torch.Tensor]]:
        site = self._sites[name]
        node = site.data.location
        with Parcel({**before, **controls}) if controls else nullcontext(shared) as parcel:
            sent = parcel.send(node.transport)
        body = training.request(self._lesson, site.data, site.pair, self._run, parameters=sent)
        out = training.perform(node, body)
        values = training.trained(node, out)
        training.forget(node, out)
        if not values:
            raise GetNotPermittedError(f"{site.name!r} trained, but lets no model leave: {out.withheld}")
        return out, values


def refuse_unavailable(secure: bool, dp: object) -> None:
    """Refuse what this version does not offer, rather than train without the protection asked for."""
    if secure:
        raise NotAvailableYetError(
            "secure=True (you would see the sum of the nodes' updates only) is not part of this version; "
            "train with secure=False if you and the nodes' owners accept that you see each node's update"
        )
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


def _sites(data: Iterable[DatasetPointer], recipe: Recipe) -> Iterator[_Site]:
    sites = [_Site(pointer, recipe.paired(pointer)) for pointer in data]
    if not sites:
        raise InvalidInputError("there is no data to train on: the search found nothing")
    names = [site.name for site in sites]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidInputError(f"give one dataset a node; {', '.join(twice)} has several")
    shapes = {tuple((info.dtype, tuple(info.shape[1:])) for info in site.pair) for site in sites}
    if len(shapes) > 1:
        raise InvalidInputError(
            "the nodes' samples differ: "
            + "; ".join(f"{s.name} has {s.pair[0].dtype}{s.pair[0].shape[1:]}" for s in sites)
        )
    return iter(sites)


def _controls(plan: RoundPlan, node: str, held: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Give a node's controls as the state of its training, in the dtypes that this has."""
    return {
        f"{CONTROL}{name}": torch.from_numpy(np.asarray(value)).to(held[f"{CONTROL}{name}"].dtype)
        for name, value in plan.controls.get(node, {}).items()
        if f"{CONTROL}{name}" in held
    }


def _listed(failures: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {why}" for name, why in sorted(failures.items())) or "no node failed"


def _note(report: RoundReport) -> str:
    loss = report.metrics.get("loss")
    lost = f", without {', '.join(sorted(report.failures))}" if report.failures else ""
    return (f"loss {loss:.4f}" if loss is not None else "") + lost
