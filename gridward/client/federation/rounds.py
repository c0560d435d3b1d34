"""One round of federated learning: all nodes train side by side, updates are folded as they arrive."""

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from gridward.client import training
from gridward.client.federation.errands import Errand, Traffic
from gridward.client.federation.gathering import Gathering, Opening
from gridward.client.federation.history import NodeReport, RoundReport
from gridward.client.federation.presence import Presence, waiting
from gridward.client.federation.sites import Site
from gridward.client.federation.state import Parameters
from gridward.client.federation.terms import Deadline, Terms
from gridward.client.training import Lesson, Run
from gridward.core.errors import GridError, TrainingError
from gridward.core.federation.aggregate import Update
from gridward.core.federation.strategies import RoundPlan, Strategy
from gridward.core.plans.optimizers import ANCHOR, CONTROL
from gridward.core.schemas.trainings import TrainingOut

_LOOK_S: Final = 5.0
_GRACE_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Means:
    """What all rounds of a run have in common."""

    sites: Mapping[str, Site]
    lesson: Lesson
    strategy: Strategy
    gathering: Gathering
    terms: Terms
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

    def __init__(self, number: int, means: Means, run: Run) -> None:
        self._number = number
        self._means = means
        self._run = run
        self._reports: list[NodeReport] = []
        self._failures: dict[str, str] = {}
        self._started = time.monotonic()
        self._deadline = Deadline(means.terms.deadline_s)
        self._closed = False

    def perform(self, joint: Parameters) -> dict[str, torch.Tensor]:
        """Let all nodes train, and join what they return.

        Raises ``MissedQuorumError``, which leaves the strategy as it was; ``TrainingError`` if an update
        does not fit the model.
        """
        means, strategy = self._means, self._means.strategy
        held = strategy.state_dict()
        plan = strategy.configure_round(self._number, list(means.sites))
        quorum = means.terms.needed(len(plan.nodes), plan.quorum)
        means.gathering.begin(Opening(self._number, plan.nodes, quorum, joint))
        before = {name: value.numpy() for name, value in joint.items()}
        try:
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
        before = dict(self._means.lesson.parameters) | dict(joint)
        before |= {f"{ANCHOR}{name}": value for name, value in joint.items() if f"{ANCHOR}{name}" in before}
        work = {
            self._means.pool.submit(
                self._train_at, self._means.sites[name], before | _controls(plan, name, before)
            ): name
            for name in plan.nodes
        }
        for name, done in self._arrivals(work):
            try:
                answer = done.result()
            except GridError as why:
                self._failures[name] = why.detail
                continue
            self._reports.append(_report_of(name, answer))
            if answer.update is not None:
                yield answer.update
        if len(self._reports) < quorum:
            raise MissedQuorumError(
                f"round {self._number + 1}: {len(self._reports)} of {len(plan.nodes)} nodes answered, "
                f"{quorum} are needed; {_listed(self._failures)}"
            )
        yield from self._means.gathering.close(tuple(sorted(report.node for report in self._reports)))

    def _arrivals(self, work: dict[Future[_Done], str]) -> Iterator[tuple[str, Future[_Done]]]:
        """Give answers as they come, and say who is waited for; those after the deadline are failures.

        Each node's own thread ends it at the deadline; one that hangs longer is left to itself.
        """
        left, asked = set(work), len(work)
        last = Deadline(None if (most := self._means.terms.deadline_s) is None else most + _GRACE_S)
        while left and not last.passed:
            done, left = wait(left, last.left_s(_LOOK_S), FIRST_COMPLETED)
            for one in done:
                yield work[one], one
            if left:
                missing = [work[one] for one in left]
                self._means.tell(waiting(asked - len(left), asked, missing, self._means.presence()))
        self._closed = True
        for one in left:
            one.cancel()
            self._failures[work[one]] = f"{work[one]!r} was late: it did not answer before the round ended"

    def _train_at(self, site: Site, parameters: Parameters) -> _Done:
        body = training.request(self._means.lesson, site.data, site.pair, self._run, parameters=parameters)
        errand = Errand(site.data.location, self._deadline)
        out = errand.perform(self._means.gathering.asked(site.name, body))
        if self._closed:
            raise TrainingError(f"{site.name!r} answered after the round")
        return _Done(out, self._means.gathering.arrived(site.name, out), errand.traffic)


def _report_of(name: str, done: _Done) -> NodeReport:
    last = dict(done.out.history[-1].values) if done.out.history else {}
    traffic = done.traffic
    return NodeReport(name, done.out.rows, done.out.seconds, last, traffic.sent_bytes, traffic.received_bytes)


def _controls(plan: RoundPlan, node: str, held: Parameters) -> dict[str, torch.Tensor]:
    """Give a node's controls as the state of its training, in the dtypes that this has."""
    return {
        f"{CONTROL}{name}": torch.from_numpy(np.asarray(value)).to(held[f"{CONTROL}{name}"].dtype)
        for name, value in plan.controls.get(node, {}).items()
        if f"{CONTROL}{name}" in held
    }


def _listed(failures: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {why}" for name, why in sorted(failures.items())) or "no node failed"
