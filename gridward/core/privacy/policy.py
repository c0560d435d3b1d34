"""Whether a value leaves the node: a pure decision with its reason, asked by ``api/services/releases`` only.

Default deny. Those on a dataset's ``raw`` list may have anything of it; a caller with ``compute`` may have
what ``analysis`` proves to be public or an aggregate over all rows, at least ``min_rows`` of each dataset.
Anything else takes a person's word on exactly that question: an approval of a request, or a standing rule of
every dataset behind it. Nobody may have more.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from gridward.core.privacy.analysis import Finding, Level
from gridward.core.privacy.approvals import Request, Status

DISCOVER: Final = "discover"
RAW: Final = "raw"
COMPUTE: Final = "compute"
TRAIN: Final = "train"
EXPORT_MODEL: Final = "export_model"


class Answer(StrEnum):
    """What asking for a value can end in."""

    VALUE = "value"
    SUPPRESSED = "suppressed"
    PENDING = "pending"
    REFUSED = "refused"


class Reason(StrEnum):
    """Why; stable, for the audit log. None of them tells more of the data than the answer does."""

    PUBLIC = "public"
    RAW_ACCESS = "raw_access"
    AGGREGATE = "aggregate"
    EXPORT_ACCESS = "export_access"
    APPROVED = "approved"
    STANDING_RULE = "standing_rule"
    WAITING = "waiting"
    KEPT = "kept"
    NO_ACCESS = "no_access"
    NOT_AN_AGGREGATE = "not_an_aggregate"
    TOO_FEW_ROWS = "too_few_rows"
    SMALL_GROUP = "small_group"
    NOT_FINITE = "not_finite"


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer, its reason code, a sentence for the caller, and the request that it rests on, if any."""

    answer: Answer
    reason: Reason
    detail: str
    request: str = ""


@dataclass(frozen=True, slots=True)
class Grant:
    """One dataset behind a value: what the caller may do with it now, how many rows it has and must have.

    ``standing`` names the questions that its rules open to the caller, whatever version the data has;
    ``reviewers`` is how many people answer a request, 0 where none is taken.
    """

    table: str
    name: str
    verbs: frozenset[str]
    rows: int
    min_rows: int
    standing: frozenset[str] = frozenset()
    reviewers: int = 1


@dataclass(frozen=True, slots=True)
class Asked:
    """A question by its content, who asks it when, and the asker's requests.

    ``question`` is the digest that binds the versions of the data, ``standing`` the one that does not.
    """

    asker: str
    question: str
    standing: str
    now: datetime
    requests: tuple[Request, ...] = ()


@dataclass(frozen=True, slots=True)
class Counted:
    """How many rows of ``table`` a mask lets through (one count for each of its columns)."""

    table: str
    rows: int
    counts: tuple[int, ...]

    def crowded(self, min_rows: int) -> bool:
        """Say whether every group and its complement are empty or large enough."""
        return all(
            all(side == 0 or side >= min_rows for side in (count, self.rows - count)) for count in self.counts
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
) -> Decision:
    """Decide on all outputs of one computation together.

    ``findings`` by output name, ``grants`` for every dataset behind the inputs, ``counted`` for every guard.
    ``finite``: no released element is infinite or NaN. A caller without ``compute`` on one of the datasets is
    refused whatever the plan does. ``asked``: what people decided on this very question counts where the
    rules alone give no value; without it nothing but the rules does.
    """
    ruled = _decide_by_rules(findings, grants, counted, finite=finite)
    if ruled.answer is Answer.VALUE:
        return ruled
    return (asked and _decide_by_people(grants, asked)) or ruled


def _decide_by_people(grants: Sequence[Grant], asked: Asked) -> Decision | None:
    """What was approved, or is waiting; None where nobody was asked, or the answer was no.

    A dataset that is hidden from the caller by now, or deleted, closes every approval.
    """
    if not all(DISCOVER in grant.verbs for grant in grants):
        return None
    if all(RAW in grant.verbs or asked.standing in grant.standing for grant in grants):
        return Decision(Answer.VALUE, Reason.STANDING_RULE, "a standing rule opens this question to you")
    mine = [one for one in asked.requests if (one.asker, one.question) == (asked.asker, asked.question)]
    by_status = {one.status(asked.now): one for one in mine if not one.terms.standing}
    if (approved := by_status.get(Status.APPROVED)) is not None:
        return Decision(Answer.VALUE, Reason.APPROVED, f"approved by request {approved.id}", approved.id)
    if (waiting := by_status.get(Status.PENDING)) is not None:
        detail = f"request {waiting.id} waits for a decision"
        return Decision(Answer.PENDING, Reason.WAITING, detail, waiting.id)
    return None


def _decide_by_rules(
    findings: Mapping[str, Finding], grants: Sequence[Grant], counted: Sequence[Counted], *, finite: bool
) -> Decision:
    verbs = meet(grants)
    if verbs is None:
        return Decision(Answer.VALUE, Reason.PUBLIC, "nothing private is behind it")
    if RAW in verbs:
        return Decision(Answer.VALUE, Reason.RAW_ACCESS, "you may have the real values")
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
    guarded = [grant for grant in grants if RAW not in grant.verbs]
    return _suppress(guarded, counted, finite=finite) or Decision(
        Answer.VALUE, Reason.AGGREGATE, "an aggregate over enough rows"
    )


def decide_keeping(grants: Sequence[Grant], counted: Sequence[Counted]) -> Decision:
    """Decide whether results may stay on the node as objects of the caller, who learns their shapes only.

    Rows and unknown values may stay: their release is decided when it is asked for. Groups are counted now,
    since the masks behind a kept value are gone later.
    """
    closed = [grant for grant in grants if not {RAW, COMPUTE} & grant.verbs]
    if closed:
        return Decision(Answer.REFUSED, Reason.NO_ACCESS, f"you may not compute on {_names(closed)}")
    guarded = [grant for grant in grants if RAW not in grant.verbs]
    small = next((found for grant in guarded if (found := _small_group(grant, counted))), None)
    return small or Decision(Answer.VALUE, Reason.KEPT, "the results stay on the node")


def decide_training(grants: Sequence[Grant], *, fewest_rows: int, refusals: Sequence[str]) -> Decision:
    """Decide whether a training may start; ``fewest_rows`` is the smallest batch that it will see."""
    closed = [grant for grant in grants if TRAIN not in grant.verbs]
    if closed:
        return Decision(Answer.REFUSED, Reason.NO_ACCESS, f"you may not train on {_names(closed)}")
    if refusals:
        return Decision(
            Answer.REFUSED,
            Reason.NOT_AN_AGGREGATE,
            "this training plan would take single rows away: " + "; ".join(refusals[:5]),
        )
    small = next((grant for grant in grants if fewest_rows < grant.min_rows), None)
    if small is not None:
        return Decision(
            Answer.SUPPRESSED,
            Reason.TOO_FEW_ROWS,
            f"a batch of '{small.name}' must hold at least {small.min_rows} rows",
        )
    return Decision(Answer.VALUE, Reason.AGGREGATE, "every step adds up over its batch")


def decide_export(grants: Sequence[Grant]) -> Decision:
    """Decide whether the caller may have parameters that were trained on these datasets."""
    closed = [grant for grant in grants if not {EXPORT_MODEL, RAW} & grant.verbs]
    if closed:
        return Decision(
            Answer.REFUSED,
            Reason.NO_ACCESS,
            f"you may not take away a model that was trained on {_names(closed)}; its owner may allow export",
        )
    reason = Reason.EXPORT_ACCESS if grants else Reason.PUBLIC
    return Decision(Answer.VALUE, reason, "you may have these parameters")


def _suppress(grants: Sequence[Grant], counted: Sequence[Counted], *, finite: bool) -> Decision | None:
    for grant in grants:
        if grant.rows < grant.min_rows:
            detail = (
                f"'{grant.name}' has fewer rows than its owner requires behind a value ({grant.min_rows})"
                f"{_how_to_ask(grants)}"
            )
            return Decision(Answer.SUPPRESSED, Reason.TOO_FEW_ROWS, detail)
        for guard in counted:
            if guard.table == grant.table and not guard.crowded(grant.min_rows):
                detail = (
                    f"a condition on '{grant.name}' leaves or leaves out fewer than {grant.min_rows} rows"
                    f"{_how_to_ask(grants)}"
                )
                return Decision(Answer.SUPPRESSED, Reason.SMALL_GROUP, detail)
    if grants and not finite:
        detail = "a result is infinite or not a number, which would tell of single rows"
        return Decision(Answer.SUPPRESSED, Reason.NOT_FINITE, detail)
    return None


def _small_group(grant: Grant, counted: Sequence[Counted]) -> Decision | None:
    if all(guard.crowded(grant.min_rows) for guard in counted if guard.table == grant.table):
        return None
    detail = f"a condition on '{grant.name}' leaves or leaves out fewer than {grant.min_rows} rows"
    return Decision(Answer.SUPPRESSED, Reason.SMALL_GROUP, detail)


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
