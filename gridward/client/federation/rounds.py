"""One round of federated learning: all nodes train side by side, updates are folded as they arrive."""

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from typing import NoReturn

import numpy as np
import torch

from gridward.client import training
from gridward.client.federation.arrivals import arrivals
from gridward.client.federation.errands import Errand, Traffic
from gridward.client.federation.gathering import Gathering, Opening, Parameters
from gridward.client.federation.history import NodeReport, RoundReport
from gridward.client.federation.presence import Presence
from gridward.client.federation.setup import Setup
from gridward.client.federation.sites import Site
from gridward.client.federation.terms import Deadline
from gridward.client.parcels import Parcel
from gridward.core.errors import GridError, TrainingError
from gridward.core.federation.aggregate import Update
from gridward.core.federation.strategies import RoundPlan
from gridward.core.plans.optimizers import ANCHOR, CONTROL
from gridward.core.schemas.trainings import TrainingOut


@dataclass(frozen=True, slots=True)
class Means:
    """What all rounds of a run have in common."""

    setup: Setup
    gathering: Gathering
    presence: Presence
    pool: ThreadPoolExecutor
    tell: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Done:
    """What came back from one node."""

    out: TrainingOut
    update: Update | None
    traffic: Traffic


class MissedQuorumError(TrainingError):
    """Too few nodes answered for a round to count."""


class Round:
    """One round in the making; ``number`` counts from 0."""

    def __init__(self, number: int, means: Means) -> None:
        self._number = number
        self._means = means
        self._setup = means.setup
        self._reports: list[NodeReport] = []
        self._failures: dict[str, str] = {}
        self._started = time.monotonic()
        self._deadline = Deadline(means.setup.terms.deadline_s)
        self._closed = False

    def perform(self, joint: Parameters) -> dict[str, torch.Tensor]:
        """Let all nodes train, and join what they return.

        Raises ``MissedQuorumError``, which leaves the strategy as it was; ``TrainingError`` if an update
        does not fit the model.
        """
        strategy = self._setup.strategy
        held = strategy.state_dict()
        plan = strategy.configure_round(self._number, list(self._setup.sites))
        quorum = self._setup.terms.needed(len(plan.nodes), plan.quorum)
        before = {name: value.numpy() for name, value in joint.items()}
        try:
            self._opening = Opening(self._number, plan.nodes, quorum, joint)
            self._means.gathering.begin(self._opening)
            after = strategy.aggregate(self._number, before, self._updates(plan, quorum, joint))
        except MissedQuorumError:
            strategy.load_state_dict(held)
            raise
        return {name: torch.from_numpy(np.asarray(value)) for name, value in after.items()}

    def report(self) -> RoundReport:
        """Say what happened."""
        seconds = time.monotonic() - self._started
        reports = tuple(sorted(self._reports, key=lambda report: report.node))
        return RoundReport(self._number + 1, seconds, reports, dict(self._failures))

    def _updates(self, plan: RoundPlan, quorum: int, joint: Parameters) -> Iterator[Update]:
        before = dict(self._setup.lesson.parameters) | dict(joint)
        before |= {f"{ANCHOR}{name}": value for name, value in joint.items() if f"{ANCHOR}{name}" in before}
        limit_s = self._setup.terms.deadline_s
        with Parcel(before) as shared:
            work = {
                self._means.pool.submit(
                    self._train_at, self._setup.sites[name], shared, before, _controls(plan, name, before)
                ): name
                for name in plan.nodes
            }
            for name, done in arrivals(work, limit_s, self._means.presence, self._means.tell):
                try:
                    answer = done.result() if done is not None else self._late(name)
                except GridError as why:
                    self._failures[name] = why.detail
                    continue
                self._reports.append(_report_of(name, answer))
                if answer.update is not None:
                    yield replace(answer.update, statistics=self._means.setup.statistics)
        if len(self._reports) < quorum:
            raise MissedQuorumError(
                f"round {self._number + 1}: {len(self._reports)} of {len(plan.nodes)} nodes answered, "
                f"{quorum} are needed; {_listed(self._failures)}"
            )
        names = tuple(sorted(report.node for report in self._reports))
        for together in self._means.gathering.close(names):
            yield replace(together, statistics=self._means.setup.statistics)

    def _late(self, name: str) -> NoReturn:
        self._closed = True
        raise TrainingError(f"{name!r} was late: it did not answer before the round ended")

    def _require_open(self, name: str) -> None:
        if self._closed:
            raise TrainingError(f"{name!r} came after the round")

    def _train_at(self, site: Site, shared: Parcel, before: Parameters, controls: Parameters) -> _Done:
        setup, node = self._setup, site.data.location
        with Parcel({**before, **controls}) if controls else nullcontext(shared) as parcel:
            sent = parcel.send(node.transport)
        body = training.request(
            setup.lesson,
            site.data,
            site.pair,
            replace(setup.run, seed=setup.run.seed + self._number),
            parameters=sent,
            holdout=setup.choice.validation,
            holdout_seed=setup.run.seed,
            lr_factor=setup.schedule.factor(self._number, setup.rounds),
        )
        errand = Errand(node, self._deadline, sent)
        self._require_open(site.name)
        gathering = self._means.gathering
        asked = gathering.asked(self._opening, site.name, body, {**before, **controls})
        out, found = errand.perform(asked)
        try:
            self._require_open(site.name)
            return _Done(out, gathering.arrived(self._opening, site.name, out, found), errand.traffic)
        finally:
            errand.forget(out)


def look(means: Means, joint: Parameters) -> tuple[NodeReport, ...]:
    """Have all nodes judge parameters over their held-out rows, without training; failures are left out."""
    setup, deadline = means.setup, Deadline(means.setup.terms.deadline_s)

    def judged_at(site: Site, parcel: Parcel) -> _Done:
        sent = parcel.send(site.data.location.transport)
        body = training.request(
            setup.lesson,
            site.data,
            site.pair,
            replace(setup.run, epochs=0),
            parameters=sent,
            holdout=setup.choice.validation,
            holdout_seed=setup.run.seed,
        )
        errand = Errand(site.data.location, deadline, sent)
        out, _ = errand.perform(body)
        return _Done(out, None, errand.traffic)

    reports: list[NodeReport] = []
    with Parcel(joint) as parcel:
        work = {means.pool.submit(judged_at, site, parcel): name for name, site in setup.sites.items()}
        for name, one in arrivals(work, setup.terms.deadline_s, means.presence, means.tell):
            with suppress(GridError):
                reports += [] if one is None else [_report_of(name, one.result())]
    return tuple(sorted(reports, key=lambda report: report.node))


def _report_of(name: str, done: _Done) -> NodeReport:
    last = dict(done.out.history[-1].values) if done.out.history else {}
    return NodeReport(
        node=name,
        rows=done.out.rows,
        seconds=done.out.seconds,
        metrics=last,
        sent_bytes=done.traffic.sent_bytes,
        received_bytes=done.traffic.received_bytes,
        validation=done.out.validation or {},
        validation_rows=done.out.validation_rows,
    )


def _controls(plan: RoundPlan, node: str, held: Parameters) -> dict[str, torch.Tensor]:
    """Give a node's controls as the state of its training, in the dtypes that this has."""
    return {
        f"{CONTROL}{name}": torch.from_numpy(np.asarray(value)).to(held[f"{CONTROL}{name}"].dtype)
        for name, value in plan.controls.get(node, {}).items()
        if f"{CONTROL}{name}" in held
    }


def _listed(failures: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {why}" for name, why in sorted(failures.items())) or "no node failed"
