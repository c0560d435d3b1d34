"""Run a plan over datasets and objects of this node; release the outputs or keep them here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from sqlmodel import Session

from gridward.api import feeding, object_store, queries
from gridward.api.node import Node
from gridward.api.provenance import Behind, grants
from gridward.api.services import releases
from gridward.core import tensors
from gridward.core.errors import (
    AuthorizationError,
    GetNotPermittedError,
    InvalidInputError,
    ObjectNotFoundError,
)
from gridward.core.plans import codec
from gridward.core.plans.plan import Plan
from gridward.core.privacy.analysis import Analysis
from gridward.core.privacy.policy import Answer, Counted, Grant, decide, decide_keeping
from gridward.core.schemas.computations import Answer as AnswerName
from gridward.core.schemas.computations import ComputationIn, ComputationOut, Source
from gridward.server.principals import Capability, Principal


@dataclass(frozen=True, slots=True)
class Prepared:
    """A computation that may run: inputs at hand, analysis made, rights looked up."""

    plan: Plan
    digest: str
    inputs: Mapping[str, torch.Tensor]
    analysis: Analysis
    behind: tuple[Behind, ...]
    grants: Sequence[Grant]


def run(node: Node, caller: Principal, body: ComputationIn) -> ComputationOut:
    """Compute and release, or compute and keep.

    Who learns what: with ``release`` the caller learns values that the policy decides to give; without it,
    shapes only. A refusal tells at most one bit of the data: that a group was too small, or the plan failed.

    Raises:
        GetNotPermittedError, ResultSuppressedError: the policy said so.
        ObjectNotFoundError: a source is missing, or hidden from the caller.
        PlanRejectedError, PlanFailedError, PlanLimitError, InvalidInputError: the plan, or what feeds it.
        BusyError: too many plans wait.
    """
    if body.release:
        outputs = released(node, caller, body, action="release")
        values = [tensors.encode(name, value) for name, value in outputs.items()]
        return ComputationOut(answer=AnswerName.VALUE, values=values, objects=[])
    _require(caller, release=False)
    job = _prepare(node, caller, body)
    return _keep(node, caller, job, *_compute(node, job))


def released(node: Node, caller: Principal, body: ComputationIn, *, action: str) -> dict[str, torch.Tensor]:
    """Compute what may leave the node, in output order; ``action`` names in the audit log how it leaves.

    ``body.release`` is true. Raises as ``run``.
    """
    _require(caller, release=True)
    job = _prepare(node, caller, body)
    _refuse_early(node, caller, job, action)
    outputs, counted = _compute(node, job)
    finite = all(bool(torch.isfinite(value).all()) for value in outputs.values())
    with node.database.read() as db:
        # a right that was taken back while the plan ran is gone
        granted = grants(caller, db, job.behind)
    decision = decide(job.analysis.findings, granted, counted, finite=finite)
    releases.settle(node, caller, decision, action=action, subjects=_subjects(job), plan_digest=job.digest)
    return {output.name: outputs[output.name] for output in job.plan.outputs}


def _compute(node: Node, job: Prepared) -> tuple[dict[str, torch.Tensor], list[Counted]]:
    outputs = node.workers.run(job.analysis.guarded, job.inputs)
    counted = [
        Counted(guard.table, guard.rows, tuple(int(n) for n in outputs.pop(guard.output).flatten().tolist()))
        for guard in job.analysis.guards
    ]
    return outputs, counted


def _require(caller: Principal, *, release: bool) -> None:
    if caller.may(Capability.COMPUTE):
        return
    detail = f"'{caller.name}' may not compute on this node; ask its owner for such a role"
    raise GetNotPermittedError(detail) if release else AuthorizationError(detail)


def _prepare(node: Node, caller: Principal, body: ComputationIn) -> Prepared:
    plan = codec.from_dict(body.plan.model_dump(mode="json", by_alias=True, exclude_none=True))
    _feed_once(plan, body)
    with node.database.read() as db:
        fed = {source.input: _find(node, caller, db, source) for source in body.sources}
        behind = tuple(sorted({item for one in fed.values() for item in one.behind}))
        granted = grants(caller, db, behind)
    if not body.release:
        _refuse_keeping(node, caller, plan, behind, granted)
    inputs = {name: feeding.load(one) for name, one in fed.items()}
    inputs |= {value.name: tensors.decode(value) for value in body.values}
    values = feeding.meta_values(plan, inputs)
    if body.release:
        feeding.require_room(node, plan, values)
    feeds = {name: one.feed for name, one in fed.items()}
    analysis = feeding.analyse_plan(plan, values, feeds, counted=True)
    return Prepared(plan, codec.digest(plan), inputs, analysis, behind, granted)


def _feed_once(plan: Plan, body: ComputationIn) -> None:
    names = [source.input for source in body.sources] + [value.name for value in body.values]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidInputError(f"fed more than once: {', '.join(twice)}")


def _find(node: Node, caller: Principal, db: Session, source: Source) -> feeding.Fed:
    if (source.dataset_id is None) == (source.object_id is None):
        raise InvalidInputError(f"source of '{source.input}': name a dataset's tensor or an object, not both")
    if source.object_id is not None:
        return feeding.of_object(node, caller, db, source.object_id)
    dataset = queries.visible_dataset(caller, db, source.dataset_id or "")
    if dataset is None:
        raise ObjectNotFoundError(f"no dataset '{source.dataset_id}' on this node")
    return feeding.of_dataset(node, dataset, source.tensor)


def _refuse_early(node: Node, caller: Principal, job: Prepared, action: str) -> None:
    """What is refused whatever the values are does not run."""
    decision = decide(job.analysis.findings, job.grants, [], finite=True)
    if decision.answer is not Answer.VALUE:
        releases.settle(
            node, caller, decision, action=action, subjects=_subjects(job), plan_digest=job.digest
        )


def _refuse_keeping(
    node: Node, caller: Principal, plan: Plan, behind: Sequence[Behind], granted: Sequence[Grant]
) -> None:
    """Nothing runs for a caller who may not compute."""
    decision = decide_keeping(granted, [])
    if decision.answer is not Answer.VALUE:
        subjects = [item.table for item in behind]
        releases.settle(
            node,
            caller,
            decision,
            action="materialize",
            subjects=subjects,
            plan_digest=codec.digest(plan),
            refused=AuthorizationError,
        )


def _keep(
    node: Node,
    caller: Principal,
    job: Prepared,
    outputs: Mapping[str, torch.Tensor],
    counted: Sequence[Counted],
) -> ComputationOut:
    decision = decide_keeping(job.grants, counted)
    releases.settle(
        node, caller, decision, action="materialize", subjects=_subjects(job), plan_digest=job.digest
    )
    kept = [
        object_store.keep(
            node,
            caller,
            object_store.Content(
                output.name, outputs[output.name], job.analysis.findings[output.name], job.digest
            ),
            job.behind,
        )
        for output in job.plan.outputs
    ]
    return ComputationOut(answer=AnswerName.VALUE, values=[], objects=kept)


def _subjects(job: Prepared) -> list[str]:
    return [item.table for item in job.behind]
