"""One round of federated learning: all nodes train side by side, updates are folded as they arrive."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from typing import Final, NoReturn

import numpy as np
import torch
from pydantic import ValidationError

from gridward.client import training
from gridward.client.federation.arrivals import arrivals, threads
from gridward.client.federation.errands import Errand, Traffic
from gridward.client.federation.gathering import Gathering, Opening, Parameters
from gridward.client.federation.history import NodeReport, RoundReport, node_record_of
from gridward.client.federation.presence import Presence
from gridward.client.federation.setup import Setup
from gridward.client.federation.sites import Site
from gridward.client.federation.terms import Deadline
from gridward.client.parcels import Parcel, Sent
from gridward.core.errors import GridError, TrainingError
from gridward.core.federation.aggregate import Update, check
from gridward.core.federation.strategies import RoundPlan
from gridward.core.plans.optimizers import ANCHOR, CONTROL
from gridward.core.schemas.trainings import TrainingOut

_MOST: Final = 1e100


@dataclass(frozen=True, slots=True)
class Means:
    """What all rounds of a run have in common."""

    setup: Setup
    gathering: Gathering
    presence: Presence
    tell: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Done:
    """What came back from one node."""

    report: NodeReport
    update: Update | None


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
        finally:
            self._closed = True
            self._deadline.end()
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
        with Parcel(before) as shared, threads(len(plan.nodes)) as pool:
            work = {
                pool.submit(
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
                self._reports.append(answer.report)
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
        body = training.request(
            setup.lesson,
            site.data,
            site.pair,
            replace(setup.run, seed=setup.run.seed + self._number),
            parameters=Sent(),
            holdout=setup.choice.validation,
            holdout_seed=setup.run.seed,
            lr_factor=setup.schedule.factor(self._number, setup.rounds),
        )
        self._require_open(site.name)
        gathering = self._means.gathering
        body = gathering.asked(self._opening, site.name, body, {**before, **controls})
        with Parcel({**before, **controls}) if controls else nullcontext(shared) as parcel:
            sent = parcel.send(node.transport, self._deadline.call_s)
        errand = Errand(node, self._deadline, sent)
        given = {"parameters": list(sent.inline), "parameters_upload": sent.upload_id}
        out, found = errand.perform(body.model_copy(update=given))
        try:
            self._require_open(site.name)
            report = _report_of(setup, site.name, out, errand.traffic)
            update = gathering.arrived(self._opening, site.name, out, found)
            if update is not None:
                check({name: before[name].numpy() for name in setup.model_names}, update)
            return _Done(report, update)
        finally:
            errand.forget(out.id)


def look(means: Means, joint: Parameters) -> tuple[NodeReport, ...]:
    """Have all nodes judge parameters over their held-out rows, without training; failures are left out."""
    setup, deadline = means.setup, Deadline(means.setup.terms.deadline_s)

    def judged_at(site: Site, parcel: Parcel) -> NodeReport:
        sent = parcel.send(site.data.location.transport, deadline.call_s)
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
        return _report_of(setup, site.name, out, errand.traffic)

    reports: list[NodeReport] = []
    with Parcel(joint) as parcel, threads(len(setup.sites)) as pool:
        work = {pool.submit(judged_at, site, parcel): name for name, site in setup.sites.items()}
        for _, one in arrivals(work, setup.terms.deadline_s, means.presence, means.tell):
            with suppress(GridError):
                reports += [] if one is None else [one.result()]
    return tuple(sorted(reports, key=lambda report: report.node))


def _report_of(setup: Setup, name: str, out: TrainingOut, traffic: Traffic) -> NodeReport:
    """Say what a node did, as far as it was asked for.

    Raises ``TrainingError`` where that cannot be kept, or joined with others'.
    """
    plans = (setup.lesson.plan, setup.lesson.evaluation)
    told = {"loss"} | {one.name for plan in plans for one in plan.outputs if one.role == "metric"}
    last = out.history[-1].values if out.history else {}
    report = NodeReport(
        node=name,
        rows=out.rows,
        seconds=out.seconds,
        metrics={key: value for key, value in last.items() if key in told},
        sent_bytes=traffic.sent_bytes,
        received_bytes=traffic.received_bytes,
        validation={key: value for key, value in (out.validation or {}).items() if key in told},
        validation_rows=out.validation_rows,
    )
    try:
        node_record_of(report)
    except ValidationError as why:
        fault = why.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise TrainingError(
            f"{name!r} told of its training what no report holds: {where}: {fault['msg']}"
        ) from why
    large = [
        key for key, value in (*report.metrics.items(), *report.validation.items()) if abs(value) > _MOST
    ]
    if large:
        raise TrainingError(f"{name!r} told a {large[0]} above {_MOST:g}; it diverged")
    return report


def _controls(plan: RoundPlan, node: str, held: Parameters) -> dict[str, torch.Tensor]:
    """Give a node's controls as the state of its training, in the dtypes that this has."""
    return {
        f"{CONTROL}{name}": torch.from_numpy(np.asarray(value)).to(held[f"{CONTROL}{name}"].dtype)
        for name, value in plan.controls.get(node, {}).items()
        if f"{CONTROL}{name}" in held
    }


def _listed(failures: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {why}" for name, why in sorted(failures.items())) or "no node failed"
