"""Whether a value leaves the node: a pure decision with its reason, asked by ``api/services/releases`` only.

Default deny. Whom a ``raw`` rule names may have anything of a dataset; a caller with ``compute`` may have
what ``analysis`` proves to be public or an aggregate over all rows, at least ``min_rows`` of each dataset,
with as many entities behind it and none of them too large (``disclosure``).
Anything else takes a person's word on exactly that question: an approval of a request, or a standing rule of
every dataset behind it. Nobody may have more. Rules that are counted come last: what costs nothing is tried
first, then counted ``compute``, then counted ``raw``.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from gridward.core.privacy.access import DISCOVER, Way
from gridward.core.privacy.analysis import Finding, Level
from gridward.core.privacy.approvals import Status
from gridward.core.privacy.decision import (
    COMPUTE,
    EXPORT_MODEL,
    RAW,
    TRAIN,
    Answer,
    Asked,
    Counted,
    Decision,
    Grant,
    Reason,
)
from gridward.core.privacy.disclosure import NOTHING, Evidence

_STAGES: Final[tuple[Callable[[Way], bool], ...]] = (
    lambda way: not way.counted,
    lambda way: not way.counted or way.verb == COMPUTE,
    lambda _way: True,
)


def meet(grants: Iterable[Grant]) -> frozenset[str] | None:
    """Verbs that every dataset behind a value allows; None where there is none behind it."""
    verbs = [grant.verbs for grant in grants]
    return frozenset.intersection(*verbs) if verbs else None


def decide(
    findings: Mapping[str, Finding],
    grants: Sequence[Grant],
    counted: Sequence[Counted],
    *,
    finite: bool,
    asked: Asked | None = None,
    evidence: Evidence = NOTHING,
) -> Decision:
    """Decide on all outputs of one computation together.

    ``findings`` by output name, ``grants`` for every dataset behind the inputs, ``counted`` for every guard,
    ``evidence`` of who is behind the sums. ``finite``: no released element is infinite or NaN.
    A caller without ``compute`` on one of the datasets is
    refused whatever the plan does. ``asked``: what people decided on this very question counts where the
    rules alone give no value; without it nothing but the rules does.
    """
    stages = _STAGES if any(grant.ways for grant in grants) else _STAGES[-1:]
    for among in stages:
        opened = [grant.opened(among) for grant in grants]
        ruled = _decide_by_rules(findings, opened, counted, evidence, finite=finite)
        if ruled.answer is Answer.VALUE:
            return ruled
        if asked and (standing := _decide_by_standing_rules(opened, asked)):
            return standing
    return (asked and _decide_by_people(opened, asked)) or ruled


def _decide_by_standing_rules(grants: Sequence[Grant], asked: Asked) -> Decision | None:
    open_to_all = all(RAW in grant.verbs or asked.standing in grant.standing for grant in grants)
    if not open_to_all or not all(DISCOVER in grant.verbs for grant in grants):
        return None
    uses = _uses(RAW, (grant for grant in grants if asked.standing not in grant.standing))
    detail = "a standing rule opens this question to you"
    return Decision(Answer.VALUE, Reason.STANDING_RULE, detail, uses=uses)


def _decide_by_people(grants: Sequence[Grant], asked: Asked) -> Decision | None:
    """What was approved, or is waiting; None where nobody was asked, or the answer was no.

    A dataset that is hidden from the caller by now, or deleted, closes every approval.
    """
    if not all(DISCOVER in grant.verbs for grant in grants):
        return None
    mine = [one for one in asked.requests if (one.asker, one.question) == (asked.asker, asked.question)]
    by_status = {one.status(asked.now): one for one in mine if not one.terms.standing}
    if (approved := by_status.get(Status.APPROVED)) is not None:
        return Decision(Answer.VALUE, Reason.APPROVED, f"approved by request {approved.id}", approved.id)
    if (waiting := by_status.get(Status.PENDING)) is not None:
        detail = f"request {waiting.id} waits for a decision"
        return Decision(Answer.PENDING, Reason.WAITING, detail, waiting.id)
    return None


def _decide_by_rules(
    findings: Mapping[str, Finding],
    grants: Sequence[Grant],
    counted: Sequence[Counted],
    evidence: Evidence,
    *,
    finite: bool,
) -> Decision:
    verbs = meet(grants)
    if verbs is None:
        return Decision(Answer.VALUE, Reason.PUBLIC, "nothing private is behind it")
    if RAW in verbs:
        detail = "you may have the real values"
        return Decision(Answer.VALUE, Reason.RAW_ACCESS, detail, uses=_uses(RAW, grants))
    closed = [grant for grant in grants if not {RAW, COMPUTE} & grant.verbs]
    if closed:
        detail = f"you may not compute on {_names(closed)}{_how_to_ask(grants)}"
        return Decision(Answer.REFUSED, Reason.NO_ACCESS, detail)
    open_tables = {grant.table for grant in grants if RAW in grant.verbs}
    private = [
        (name, found)
        for name, found in findings.items()
        if found.level is Level.OPAQUE or (found.level is Level.ROWS and found.table not in open_tables)
    ]
    if private:
        return Decision(Answer.REFUSED, Reason.NOT_AN_AGGREGATE, _explain(private, grants))
    guarded = [
        grant.settled(COMPUTE, lambda one: not (_too_few(one) or _behind_sums(one, counted, evidence)))
        for grant in grants
        if RAW not in grant.verbs
    ]
    uses = _uses(RAW, (grant for grant in grants if RAW in grant.verbs)) + _uses(COMPUTE, guarded)
    return _suppress(guarded, counted, evidence, finite=finite) or Decision(
        Answer.VALUE, Reason.AGGREGATE, "an aggregate over enough rows", uses=uses
    )


def _uses(verb: str, grants: Iterable[Grant]) -> tuple[str, ...]:
    return tuple(sorted({use for grant in grants for use in grant.uses(verb)}))


def decide_keeping(
    grants: Sequence[Grant], counted: Sequence[Counted], evidence: Evidence = NOTHING
) -> Decision:
    """Decide whether results may stay on the node as objects of the caller, who learns their shapes only.

    Rows and unknown values may stay: their release is decided when it is asked for, and counted then. Who is
    behind masks and sums is looked at now, since that is gone later, and against the strictest of the rules
    that could release it.
    """
    closed = [grant for grant in grants if not {RAW, COMPUTE} & grant.opened().verbs]
    if closed:
        return Decision(Answer.REFUSED, Reason.NO_ACCESS, f"you may not compute on {_names(closed)}")
    # A counted right to the rows checks nothing away: the release may come by another way, and uncounted.
    guarded = [grant.opened().strictest(COMPUTE) for grant in grants if RAW not in grant.verbs]
    flaw = next((found for grant in guarded if (found := _behind_sums(grant, counted, evidence))), None)
    if flaw is not None:
        return Decision(Answer.SUPPRESSED, *flaw)
    return Decision(Answer.VALUE, Reason.KEPT, "the results stay on the node")


def decide_training(grants: Sequence[Grant], *, fewest_rows: int, refusals: Sequence[str]) -> Decision:
    """Decide whether a training may start; ``fewest_rows`` is the smallest batch that it will see.

    ``grants`` are settled on ``train``: see ``settle_training``.
    """
    closed = [grant for grant in grants if TRAIN not in grant.verbs]
    if closed:
        return Decision(Answer.REFUSED, Reason.NO_ACCESS, f"you may not train on {_names(closed)}")
    if refusals:
        return Decision(
            Answer.REFUSED,
            Reason.NOT_AN_AGGREGATE,
            "this training plan would take single rows away: " + "; ".join(refusals[:5]),
        )
    for grant in grants:
        if grant.entities is None and RAW not in grant.verbs:
            return Decision(Answer.SUPPRESSED, *_entities_unknown(grant))
        if fewest_rows < grant.fewest_batch:
            detail = f"a batch of '{grant.name}' must hold at least {grant.fewest_batch} rows"
            return Decision(Answer.SUPPRESSED, Reason.TOO_FEW_ROWS, detail)
    uses = _uses(TRAIN, grants)
    return Decision(Answer.VALUE, Reason.AGGREGATE, "every step adds up over its batch", uses=uses)


def settle_training(grants: Iterable[Grant], *, fewest_rows: int) -> list[Grant]:
    """Choose by which rules a training with such batches would run, and so how many rows each must hold."""
    return [grant.settled(TRAIN, lambda one: fewest_rows >= one.fewest_batch) for grant in grants]


def decide_export(grants: Sequence[Grant], parameters: int, asked: Asked | None = None) -> Decision:
    """Decide whether the caller may have parameters, so many numbers, that were trained on these datasets.

    ``asked``: what people decided on these very parameters counts where the rules give none.
    """
    ruled = _decide_export_by_rules(grants, parameters)
    return ruled if ruled.answer is Answer.VALUE else (asked and _decide_by_people(grants, asked)) or ruled


def _decide_export_by_rules(grants: Sequence[Grant], parameters: int) -> Decision:
    closed = [grant for grant in grants if not {EXPORT_MODEL, RAW} & grant.verbs]
    if closed:
        return Decision(
            Answer.REFUSED,
            Reason.NO_ACCESS,
            f"you may not take away a model that was trained on {_names(closed)}; its owner may allow export",
        )
    fitted = [grant for grant in grants if RAW not in grant.verbs]
    tight = [one for one in fitted if one.thresholds.overfits(parameters, one.entities or 0)]
    if tight:
        detail = (
            f"a model with {parameters} parameters may hold single ones of those in {_names(tight)}; take a "
            "smaller one, or let the owner change the thresholds for fitted models"
        )
        return Decision(Answer.SUPPRESSED, Reason.OVERFITTED, detail)
    reason = Reason.EXPORT_ACCESS if grants else Reason.PUBLIC
    return Decision(Answer.VALUE, reason, "you may have these parameters")


def _suppress(
    grants: Sequence[Grant], counted: Sequence[Counted], evidence: Evidence, *, finite: bool
) -> Decision | None:
    """Look at who is behind an aggregate of datasets whose rows the caller may not read."""
    for grant in grants:
        flaw = _too_few(grant) or _behind_sums(grant, counted, evidence)
        if flaw is not None:
            reason, detail = flaw
            return Decision(Answer.SUPPRESSED, reason, f"{detail}{_how_to_ask(grants)}")
    if grants and not finite:
        detail = "a result is infinite or not a number, which would tell of single rows"
        return Decision(Answer.SUPPRESSED, Reason.NOT_FINITE, detail)
    return None


def _too_few(grant: Grant) -> tuple[Reason, str] | None:
    if grant.entities is None:
        return _entities_unknown(grant)
    if grant.rows < grant.min_rows:
        detail = f"'{grant.name}' has fewer rows than its owner requires behind a value ({grant.min_rows})"
        return Reason.TOO_FEW_ROWS, detail
    if grant.entities < grant.min_entities:
        detail = f"'{grant.name}' has fewer entities than its owner requires ({grant.min_entities})"
        return Reason.TOO_FEW_ENTITIES, detail
    return None


def _entities_unknown(grant: Grant) -> tuple[Reason, str]:
    return Reason.ENTITIES_UNKNOWN, (
        f"nobody said whose the rows of '{grant.name}' are, so that it gives no aggregates; its owner may "
        "name an entity column (entity), or say that every row is an entity of its own (rows_are_entities)"
    )


def _behind_sums(grant: Grant, counted: Sequence[Counted], evidence: Evidence) -> tuple[Reason, str] | None:
    """What is wrong with the masks and sums over one dataset: first what the plan alone tells."""
    thresholds, name = grant.thresholds, grant.name
    lost = next((one for one in evidence.unfollowed if one.table == grant.table), None)
    if lost is not None and thresholds.weighs:
        detail = f"who is behind its sum over '{name}' cannot be told apart, so that nobody can check it"
        return Reason.NOT_FOLLOWED, f"{lost.step}: {detail}"
    plain = next((one for one in evidence.disguised if one.table == grant.table), None)
    if plain is not None and thresholds.round_counts > 1:
        return Reason.NOT_ROUNDED, (
            f"{plain.step}: it counts rows of '{name}' in a way that cannot be rounded, as its owner asks; "
            "take .sum() or .mean() of the mask and go on from there"
        )
    fits = [one.parameters for one in evidence.fits if one.table == grant.table]
    if any(thresholds.overfits(parameters, grant.entities or 0) for parameters in fits):
        return Reason.OVERFITTED, f"'{name}' has too few entities for a model of {max(fits)} parameters"
    guards = [one for one in counted if one.table == grant.table]
    sums = [one for one in evidence.contributed if one.table == grant.table]
    if (guards or sums) and grant.table in evidence.unnumbered:
        detail = f"'{name}' has a newer version, and whose the rows of this one were is not known any more"
        return Reason.ENTITIES_UNKNOWN, detail
    if not all(one.crowded(grant.min_rows, grant.min_entities) for one in guards) or any(
        one.few(grant.min_entities) for one in sums
    ):
        return Reason.SMALL_GROUP, (
            f"a condition on '{name}' leaves or leaves out fewer than {_least(grant)}, or as few are behind "
            "an element of a sum"
        )
    if any(one.dominated(thresholds) for one in sums):
        return Reason.DOMINANCE, f"the largest contributors to a sum over '{name}' are too much of it"
    return None


def _least(grant: Grant) -> str:
    rows, entities = grant.min_rows, grant.min_entities
    return f"{rows} rows" if rows == entities else f"{rows} rows or {entities} entities"


def _names(grants: Iterable[Grant]) -> str:
    return ", ".join(sorted({f"'{grant.name}'" for grant in grants}))


def _explain(private: Sequence[tuple[str, Finding]], grants: Sequence[Grant]) -> str:
    why = "; ".join(
        f"{name}: {found.reason or 'it still has one value for each row'}" for name, found in private[:5]
    )
    return (
        f"{_names(grants)} may be read by the owner's list only; you may have aggregates over all rows, "
        f"and this is none ({why}){_how_to_ask(grants)}"
    )


def _how_to_ask(grants: Sequence[Grant]) -> str:
    askable = all(grant.reviewers for grant in grants)
    return '; ask for it with .request("why")' if askable else "; its owner takes no requests"
