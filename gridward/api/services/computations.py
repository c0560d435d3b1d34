"""Run a plan over datasets and objects of this node; release the outputs or keep them here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from gridward.api import computing, object_store, result_digests
from gridward.api.computing import Found, Prepared
from gridward.api.node import Node
from gridward.api.services import releases
from gridward.api.services.releases import Wish
from gridward.core import tensors
from gridward.core.errors import AuthorizationError, GetNotPermittedError
from gridward.core.privacy.decision import Answer, Asked, Counted, Decision, Grant
from gridward.core.privacy.disclosure import Evidence
from gridward.core.privacy.policy import decide, decide_keeping
from gridward.core.schemas.computations import Answer as AnswerName
from gridward.core.schemas.computations import ComputationIn, ComputationOut
from gridward.server.principals import Capability, Principal


@dataclass(frozen=True, slots=True)
class Given:
    """Released outputs by name, in order, what to know of them, and what the audit log calls them."""

    values: dict[str, torch.Tensor]
    notes: list[str]
    digest: str


def run(node: Node, caller: Principal, body: ComputationIn) -> ComputationOut:
    """Compute and release, or compute and keep.

    Who learns what: with ``release`` the caller learns values that the policy decides to give; without it,
    shapes only. A refusal tells at most one bit of the data: that a group was too small, or the plan failed.

    Raises:
        GetNotPermittedError, ResultSuppressedError, RequestPendingError: the policy said so.
        ObjectNotFoundError: a source is missing, or hidden from the caller.
        PlanRejectedError, PlanFailedError, PlanLimitError, InvalidInputError: the plan, or what feeds it.
        BusyError: too many plans wait.
    """
    if body.release:
        given = released(node, caller, body, action="release", approvals=True)
        values = [tensors.encode(name, value) for name, value in given.values.items()]
        return ComputationOut(
            answer=AnswerName.VALUE, values=values, objects=[], notes=given.notes, result_digest=given.digest
        )
    _require(caller, release=False)
    found = computing.find(node, caller, body)
    _refuse_keeping(node, caller, found)
    job = computing.load(node, found, body, release=False)
    return _keep(node, caller, job, *computing.compute(node, job))


def released(
    node: Node,
    caller: Principal,
    body: ComputationIn,
    *,
    action: str,
    approvals: bool = False,
    ready: Callable[[Mapping[str, torch.Tensor]], None] | None = None,
) -> Given:
    """Compute what may leave the node, in output order; ``action`` names in the audit log how it leaves.

    ``body.release`` is true. ``approvals``: what people approved counts, beside the rules. ``ready`` raises
    where the outputs could not be used, before any use is counted; an attempt that had them passes it by.
    Raises as ``run``.
    """
    _require(caller, release=True)
    found = computing.find(node, caller, body)
    wish = Wish(node, caller, action, found, found.question if approvals else None, body.attempt)
    outputs = releases.repeat(wish)
    if outputs is None:
        job = computing.load(node, found, body, release=True)
        _refuse_early(wish, job)
        outputs, counted, evidence = computing.compute(node, job)
        finite = computing.finite(outputs)

        def judge(granted: Sequence[Grant], asked: Asked | None) -> Decision:
            # a right that was taken back while the plan ran is gone
            return decide(
                job.analysis.findings, granted, counted, finite=finite, asked=asked, evidence=evidence
            )

        if ready is not None:
            ruled = judge(found.grants, None)
            if ruled.answer is not Answer.VALUE:  # else whether it could be used would tell of the values
                _settle(node, caller, ruled, found, action)
            ready({output.name: outputs[output.name] for output in found.plan.outputs})
        releases.give(wish, judge, outputs)
    values = {output.name: outputs[output.name] for output in found.plan.outputs}
    return Given(values, found.notes, result_digests.digest(node.keys, values))


def _require(caller: Principal, *, release: bool) -> None:
    if caller.may(Capability.COMPUTE):
        return
    detail = f"'{caller.name}' may not compute on this node; ask its owner for such a role"
    raise GetNotPermittedError(detail) if release else AuthorizationError(detail)


def _refuse_early(wish: Wish, job: Prepared) -> None:
    """What is refused whatever the values are does not run."""
    with wish.node.database.read() as db:
        asked = wish.asked(db)
        known = computing.evidence(job)
        decision = decide(
            job.analysis.findings, wish.found.grants, [], finite=True, asked=asked, evidence=known
        )
        decision = wish.explained(db, decision)
    if decision.answer is not Answer.VALUE:
        _settle(wish.node, wish.caller, decision, wish.found, wish.action)


def _refuse_keeping(node: Node, caller: Principal, found: Found) -> None:
    """Nothing runs for a caller who may not compute."""
    decision = decide_keeping(found.grants, [])
    if decision.answer is not Answer.VALUE:
        releases.settle(
            node,
            caller,
            decision,
            action="materialize",
            subjects=found.subjects,
            plan_digest=found.digest,
            refused=AuthorizationError,
        )


def _keep(
    node: Node,
    caller: Principal,
    job: Prepared,
    outputs: Mapping[str, torch.Tensor],
    counted: Sequence[Counted],
    evidence: Evidence,
) -> ComputationOut:
    found = job.found
    _settle(node, caller, decide_keeping(found.grants, counted, evidence), found, "materialize")
    kept = [
        object_store.keep(
            node,
            caller,
            object_store.Content(
                output.name, outputs[output.name], job.analysis.findings[output.name], found.digest
            ),
            found.behind,
        )
        for output in found.plan.outputs
    ]
    return ComputationOut(answer=AnswerName.VALUE, values=[], objects=kept, notes=found.notes)


def _settle(node: Node, caller: Principal, decision: Decision, found: Found, action: str) -> None:
    releases.settle(node, caller, decision, action=action, subjects=found.subjects, plan_digest=found.digest)
