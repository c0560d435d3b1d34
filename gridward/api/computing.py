"""From a computation's body to its outputs: sources found and loaded, rows followed, the plan run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from sqlmodel import Session

from gridward.api import entities, feeding, questions
from gridward.api.managed import described_dataset
from gridward.api.node import Node
from gridward.api.provenance import Behind, entity_files, grants
from gridward.api.questions import Question
from gridward.core import tensors
from gridward.core.errors import InvalidInputError
from gridward.core.plans import codec
from gridward.core.plans.plan import Plan
from gridward.core.plans.tallies import expose
from gridward.core.privacy.analysis import Analysis, Guard
from gridward.core.privacy.decision import RAW, Counted, Grant
from gridward.core.privacy.disclosure import Contributed, Evidence
from gridward.core.privacy.rounding import rounded
from gridward.core.schemas.computations import QuestionIn, Source
from gridward.server.principals import Principal


@dataclass(frozen=True, slots=True)
class Found:
    """A checked plan whose sources the caller may know; nothing is loaded yet."""

    plan: Plan
    digest: str
    fed: Mapping[str, feeding.Fed]
    behind: tuple[Behind, ...]
    grants: Sequence[Grant]
    question: Question | None
    fingerprint: str
    entity_files: Mapping[str, Path | None] = field(default_factory=dict)

    @property
    def named(self) -> frozenset[str]:
        """Digests by which a rule may mean this question."""
        return questions.names_of(self.question)

    @property
    def bases(self) -> dict[str, int]:
        """To multiples of what counts of each table are rounded; for those who may read it they are exact."""
        limited = [one for one in self.grants if RAW not in one.verbs]
        return {one.table: one.thresholds.round_counts for one in limited}

    @property
    def notes(self) -> list[str]:
        """What whoever gets the answer should know of it."""
        return [
            f"counts of rows of '{one.name}' are rounded to multiples of {self.bases[one.table]}"
            for one in self.grants
            if self.bases.get(one.table, 1) > 1
        ]

    @property
    def subjects(self) -> list[str]:
        """Names of the datasets behind it."""
        return [item.table for item in self.behind]

    def tensors_of(self, item: Behind) -> list[str]:
        """Tensors of one dataset that are read by name; a kept result that was made of it names none."""
        read = (one.tensor for one in self.fed.values() if one.of_dataset and one.behind == (item,))
        return sorted(set(read))


@dataclass(frozen=True, slots=True)
class Prepared:
    """A computation that may run: inputs at hand, shapes known, rows followed."""

    found: Found
    inputs: Mapping[str, torch.Tensor]
    values: Mapping[str, torch.Tensor]
    analysis: Analysis


def find(node: Node, caller: Principal, body: QuestionIn) -> Found:
    """Check the plan and find what feeds it.

    Raises:
        ObjectNotFoundError: a source is missing, or hidden from the caller.
        AuthorizationError: the caller may find a source, and not see what it holds.
        PlanRejectedError, InvalidInputError: the plan, or what feeds it.
    """
    plan = codec.from_dict(body.plan.model_dump(mode="json", by_alias=True, exclude_none=True))
    _feed_once(body)
    with node.database.read() as db:
        fed = {source.input: _source(node, caller, db, source) for source in body.sources}
        behind = tuple(sorted({item for one in fed.values() for item in one.behind}))
        versions = {item.dataset_id: item.version for item in behind}
        digest = codec.digest(plan)
        question = questions.name(body, digest, versions)
        granted = grants(caller, db, behind, node.clock(), questions.names_of(question))
        numbered = entity_files(node, db, behind)
    fingerprint = questions.fingerprint(body, digest, [(item.dataset_id, item.version) for item in behind])
    return Found(plan, digest, fed, behind, granted, question, fingerprint, numbered)


def load(node: Node, found: Found, body: QuestionIn, *, release: bool) -> Prepared:
    """Map the inputs, find every shape and follow the rows. Raises as ``find``."""
    inputs = {name: feeding.load(one) for name, one in found.fed.items()}
    inputs |= {value.name: tensors.decode(value) for value in body.values}
    values = feeding.meta_values(found.plan, inputs)
    if release:
        feeding.require_room(node, found.plan, values)
    feeds = {name: one.feed for name, one in found.fed.items()}
    return Prepared(found, inputs, values, feeding.analyse_plan(found.plan, values, feeds, counted=True))


def compute(node: Node, job: Prepared) -> tuple[dict[str, torch.Tensor], list[Counted], Evidence]:
    """Run the plan in a worker; gives its outputs, the rows of every mask, and who is behind its sums.

    Raises:
        PlanFailedError, PlanLimitError: it failed, or was ended.
        BusyError: too many plans wait.
    """
    analysis, groups = job.analysis, entities.numbers(job.found.entity_files)
    masks = [one.mask for one in analysis.guards if one.mask is not None and one.table in groups]
    guards = [one.output for one in analysis.guards]
    counting = rounded(analysis.guarded, analysis.counts, job.found.bases, guards)
    plan, tallies = expose(counting, [*analysis.tallies, *masks])
    outputs = node.workers.run(plan, job.inputs, tallies, groups)
    counted = [_counted(guard, outputs, job.found.grants) for guard in analysis.guards]
    contributed = [
        Contributed(one.table, *(float(number) for number in outputs.pop(one.name)))
        for one in analysis.tallies
    ]
    return outputs, counted, replace(evidence(job), contributed=contributed)


def evidence(job: Prepared) -> Evidence:
    """What the plan alone tells of who is behind its results."""
    gone = frozenset(table for table, path in job.found.entity_files.items() if path is None)
    return Evidence(
        fits=job.analysis.fits,
        unfollowed=job.analysis.unfollowed,
        unnumbered=gone,
        disguised=job.analysis.disguised,
    )


def _counted(guard: Guard, outputs: dict[str, torch.Tensor], granted: Sequence[Grant]) -> Counted:
    counts = _integers(outputs.pop(guard.output))
    sides: tuple[int, ...] = ()
    if guard.mask is not None and guard.mask.name in outputs:
        sides = _integers(outputs.pop(guard.mask.name))
    elif guard.mask is None:
        # How many entities are in a bin is not counted: as few as its rows can be of.
        # Rows in no bin are a group, too: how many there are follows from the others.
        counts = (*counts, guard.rows - sum(counts))
        few = next((one.entities_in for one in granted if one.table == guard.table), int)
        sides = tuple(few(side) for count in counts for side in (count, guard.rows - count))
    return Counted(guard.table, guard.rows, counts, sides)


def _integers(counts: torch.Tensor) -> tuple[int, ...]:
    return tuple(int(count) for count in counts.flatten().tolist())


def finite(outputs: Mapping[str, torch.Tensor]) -> bool:
    """Say whether no element is infinite or NaN."""
    return all(bool(torch.isfinite(value).all()) for value in outputs.values())


def _feed_once(body: QuestionIn) -> None:
    names = [source.input for source in body.sources] + [value.name for value in body.values]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidInputError(f"fed more than once: {', '.join(twice)}")


def _source(node: Node, caller: Principal, db: Session, source: Source) -> feeding.Fed:
    if (source.dataset_id is None) == (source.object_id is None):
        raise InvalidInputError(f"source of '{source.input}': name a dataset's tensor or an object, not both")
    if source.object_id is not None:
        return feeding.of_object(node, caller, db, source.object_id)
    dataset = described_dataset(caller, db, source.dataset_id or "", node.clock())
    return feeding.of_dataset(node, dataset, source.tensor)
