"""The plans of an order to train: which rows each goes over, by which rules, and what is objected to."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from sqlmodel import Session

from gridward.api import feeding, parameters
from gridward.api import training_orders as orders
from gridward.api.node import Node
from gridward.api.provenance import grants
from gridward.api.training_runs import Task
from gridward.core.plans import codec
from gridward.core.plans.executors.batches import fewest_rows, undrawn
from gridward.core.plans.executors.training import Schedule
from gridward.core.plans.plan import Plan
from gridward.core.privacy.analysis import Feed, Level
from gridward.core.privacy.decision import Decision, Grant
from gridward.core.privacy.policy import decide_training, settle_training
from gridward.core.schemas.trainings import TrainingIn
from gridward.server.principals import Principal


@dataclass(frozen=True, slots=True)
class Part:
    """One plan of an order, which and how many rows it goes over in which batches, and by which rules."""

    plan: Plan
    digest: str
    chosen: torch.Tensor | None
    rows: int
    batch_size: int
    granted: list[Grant]

    @property
    def min_rows(self) -> int:
        """The least that a batch must hold."""
        return fewest_rows(self.plan, max(grant.fewest_batch for grant in self.granted))

    def judge(self, begin: orders.Start, hyper: Mapping[str, torch.Tensor]) -> Decision:
        """Decide whether it may run, as a training may: an evaluation tells no more than its metrics do."""
        refusals = _refusals(self, begin, hyper) if self.rows else ()
        return decide_training(self.granted, fewest_rows=self.batch_size, refusals=refusals)

    def task(self, epochs: int, seed: int) -> Task:
        """Say what to run; only for what may."""
        return Task(self.plan, self.chosen, Schedule(self.batch_size, epochs, seed, self.min_rows))


def parts_of(
    node: Node,
    caller: Principal,
    db: Session,
    begin: orders.Start,
    plans: orders.Plans,
    body: TrainingIn,
    held_out: torch.Tensor | None,
) -> list[Part]:
    """Settle by which rules each plan of an order may run over which rows."""
    every, parts = begin.dataset.rows, []
    for plan in plans.all:
        chosen = held_out if plan is plans.evaluation else orders.others(every, held_out)
        rows = every if chosen is None else len(chosen)
        digest, fewest = codec.digest(plan), min(body.batch_size, rows)
        granted = grants(caller, db, begin.behind, node.clock(), frozenset((digest,)))
        settled = settle_training(granted, fewest_rows=fewest)
        parts.append(Part(plan, digest, chosen, rows, fewest, settled))
    return parts


def _batch_sizes(rows: int, batch_size: int, min_rows: int) -> list[int]:
    """Sizes that batches may have: full ones, a last one, and a last one that took in a small remainder."""
    full, remainder = batch_size, rows % batch_size
    last = {remainder} if remainder >= min_rows else set[int]()
    return sorted({full, full + remainder} | last)


def _refusals(part: Part, begin: orders.Start, hyper: Mapping[str, torch.Tensor]) -> tuple[str, ...]:
    """What the analysis objects to at any size that a batch may have."""
    table, plan = orders.rows_of(begin.dataset).table, part.plan
    rows = {name: begin.rows[name] for name in orders.fed_inputs(plan)}
    wanted = parameters.learnt_inputs(plan)
    held = {name: value for name, value in begin.held.items() if name in wanted}
    feeds = {name: Feed(Level.ROWS, table) for name in rows}
    feeds |= {name: Feed(Level.ROWS, table) for name in undrawn(plan, 1)}  # nobody knows what was drawn
    feeds |= {name: Feed(Level.AGGREGATE) for name in begin.private if name in wanted}
    found: dict[str, None] = {}
    for size in _batch_sizes(part.rows, part.batch_size, part.min_rows):
        batch = {name: stored.first(size) for name, stored in rows.items()}
        values = feeding.meta_values(plan, {**held, **hyper, **batch, **undrawn(plan, size)})
        known = feeding.analyse_plan(plan, values, feeds, counted=False)
        found |= dict.fromkeys(known.refusals)
    return tuple(found)
