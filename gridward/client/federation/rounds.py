"""One round of federated learning: all nodes train side by side, updates are folded as they arrive."""

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed

import numpy as np
import torch

from gridward.client import training
from gridward.client.federation.gathering import Gathering, Opening
from gridward.client.federation.history import NodeReport, RoundReport
from gridward.client.federation.sites import Site
from gridward.client.training import Lesson, Run
from gridward.core.errors import GridError, TrainingError
from gridward.core.federation.aggregate import Update
from gridward.core.federation.strategies import RoundPlan, Strategy
from gridward.core.plans.optimizers import ANCHOR, CONTROL
from gridward.core.schemas.trainings import TrainingOut


class Round:
    """One round in the making."""

    def __init__(
        self,
        number: int,
        sites: Mapping[str, Site],
        lesson: Lesson,
        run: Run,
        strategy: Strategy,
        gathering: Gathering,
    ) -> None:
        self._number = number
        self._sites = sites
        self._lesson = lesson
        self._run = run
        self._strategy = strategy
        self._gathering = gathering
        self._reports: list[NodeReport] = []
        self._failures: dict[str, str] = {}
        self._started = time.monotonic()

    def perform(self, pool: ThreadPoolExecutor, joint: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Let all nodes train, and join what they return."""
        plan = self._strategy.configure_round(self._number, list(self._sites))
        self._gathering.begin(Opening(self._number, plan.nodes, plan.quorum, joint))
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
        work = {
            pool.submit(self._train_at, self._sites[name], before | _controls(plan, name, before)): name
            for name in plan.nodes
        }
        for done in as_completed(work):
            name = work[done]
            try:
                out, update = done.result()
            except GridError as why:
                self._failures[name] = why.detail
                continue
            last = dict(out.history[-1].values) if out.history else {}
            self._reports.append(NodeReport(name, out.rows, out.seconds, last))
            if update is not None:
                yield update
        if len(self._reports) < plan.quorum:
            raise TrainingError(
                f"round {self._number + 1}: {len(self._reports)} of {len(plan.nodes)} nodes answered, "
                f"{plan.quorum} are needed; {_listed(self._failures)}"
            )
        yield from self._gathering.close(tuple(sorted(report.node for report in self._reports)))

    def _train_at(
        self, site: Site, parameters: Mapping[str, torch.Tensor]
    ) -> tuple[TrainingOut, Update | None]:
        body = training.request(self._lesson, site.data, site.pair, self._run, parameters=parameters)
        out = training.perform(site.data.location, self._gathering.asked(site.name, body))
        training.forget(site.data.location, out)
        return out, self._gathering.arrived(site.name, out)


def _controls(plan: RoundPlan, node: str, held: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Give a node's controls as the state of its training, in the dtypes that this has."""
    return {
        f"{CONTROL}{name}": torch.from_numpy(np.asarray(value)).to(held[f"{CONTROL}{name}"].dtype)
        for name, value in plan.controls.get(node, {}).items()
        if f"{CONTROL}{name}" in held
    }


def _listed(failures: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {why}" for name, why in sorted(failures.items())) or "no node failed"
