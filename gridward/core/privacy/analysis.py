"""What a plan's results tell of single rows: a static analysis (design: ``docs/privacy.md``).

Each value is public, an aggregate over all rows, still rows, or refused with the step to blame. An aggregate
is a sum, mean, variance or matrix product that runs over the whole row axis of one dataset, with the same
public weight for every row; whatever follows is post-processing. What is not understood is refused.

Boolean row masks are allowed, but each one that is put to use is a guard: the plan is extended by outputs
that count its True entries, and ``policy`` suppresses the results unless every count is 0 or at least the
minimum, and its complement likewise. For every sum over rows there is a tally: a run
also gives how much of it the largest contributors are, and ``policy`` suppresses where that is too much.

What this does not stop, because no threshold can:

- Additions that hide: sum(x + 1000) is dominated by nobody, and tells sum(x).
- Differencing: two aggregates that differ by one row's part. Two masks, or two training runs, are enough.
- Arithmetic isolation: sum(exp(-k * (x - a)**2)) for a large k is about the number of rows near ``a``, and
  sum(x * sigmoid(k * (x - a))) about the sum over few; relu and its gradient gate rows the same way. An
  infinity or a NaN in a sum says that some row made it.
- One bit for each question: whether an answer was suppressed or failed.

Only noise calibrated to one entity's influence stops these: differential privacy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import prod
from typing import Final

from gridward.core.plans.ops import Op, RowRule
from gridward.core.plans.plan import DType, Output, Plan, Ref, Role, Step
from gridward.core.plans.table import SPECS
from gridward.core.plans.tallies import Tally, TallyKind
from gridward.core.plans.validate import references
from gridward.core.privacy.call import Call, axes_of
from gridward.core.privacy.contributions import Fit, Unfollowed, contributions, fit_of
from gridward.core.privacy.flow import (
    Flow,
    Free,
    Known,
    MixingError,
    Refused,
    Rows,
    Shape,
    rows_of,
    uneven,
)
from gridward.core.privacy.rounding import Count, Disguised
from gridward.core.privacy.rules import RULES


class Level(StrEnum):
    """What a value tells of private rows."""

    PUBLIC = "public"  # nothing: it follows from what the caller sent
    AGGREGATE = "aggregate"  # sums over all rows
    ROWS = "rows"  # one axis still runs over rows
    OPAQUE = "opaque"  # unknown: as private as any row


@dataclass(frozen=True, slots=True)
class Feed:
    """What feeds a plan input. ``table`` names the dataset whose rows run along ``axis`` (from the left).

    ``masked``: it was made under row masks whose product with others would escape the guards; ``coded``: of
    nothing but these.
    """

    level: Level
    table: str = ""
    axis: int = 0
    masked: bool = False
    coded: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """What a result is. ``axis`` (from the left) and ``table`` for rows; ``reason`` where it is opaque.

    ``coded``: numbers that are a function of nothing but masks, so that their sum is a count in disguise.
    """

    level: Level
    table: str = ""
    axis: int = 0
    masked: bool = False
    reason: str = ""
    coded: bool = False


@dataclass(frozen=True, slots=True)
class Guard:
    """An extra output that counts rows: every count, and ``rows`` less it, must be 0 or large enough.

    ``mask`` is the tally of the entities on both sides; a histogram has none.
    """

    output: str
    table: str
    rows: int
    mask: Tally | None = None


@dataclass(frozen=True, slots=True)
class Analysis:
    """Findings for each output of the plan; ``guarded`` is the plan to run, ``guards`` its extra outputs.

    ``tallies`` count who is behind each sum over rows, ``fits`` are products that fit a model,
    ``unfollowed`` the sums of which nobody can tell who is behind them, ``counts`` values that count rows,
    and ``disguised`` those that do so in a way that cannot be rounded.
    """

    findings: Mapping[str, Finding]
    guards: tuple[Guard, ...]
    guarded: Plan
    tallies: tuple[Tally, ...] = ()
    fits: tuple[Fit, ...] = ()
    unfollowed: tuple[Unfollowed, ...] = ()
    counts: tuple[Count, ...] = ()
    disguised: tuple[Disguised, ...] = ()

    @property
    def refusals(self) -> tuple[str, ...]:
        """Why outputs are not aggregates; empty if all of them are."""
        return tuple(
            f"output {name}: {found.reason or 'it still has one value for each row'}"
            for name, found in self.findings.items()
            if found.level in (Level.ROWS, Level.OPAQUE)
        )


_MOVES: Final = frozenset(op for op, spec in SPECS.items() if spec.rows is RowRule.SHAPE) | {
    Op.SELECT_INT,
    Op.SLICE_TENSOR,
    Op.INDEX_SELECT,
}


@dataclass(slots=True)
class _Tracking:
    """The state of one pass over a plan."""

    shapes: Mapping[str, Shape]
    dtypes: Mapping[str, DType]
    counted: bool
    flows: dict[str, Flow]
    guarded: dict[str, Rows] = field(default_factory=dict)
    tallies: list[Tally] = field(default_factory=list)
    fits: list[Fit] = field(default_factory=list)
    unfollowed: list[Unfollowed] = field(default_factory=list)
    counts: list[Count] = field(default_factory=list)
    disguised: list[Disguised] = field(default_factory=list)
    truths: set[str] = field(default_factory=set)
    coded: set[str] = field(default_factory=set)

    def step(self, number: int, step: Step) -> None:
        names = tuple(references(step))
        blamed = next((flow for name in names if isinstance(flow := self.flows[name], Refused)), None)
        if blamed is not None:
            self.flows.update(dict.fromkeys(step.out, blamed))
            return
        try:
            call = self._call(step)
            found = RULES[step.op](call)
        except MixingError as why:
            refusal = Refused(f"step {number} ({step.op.value}): {why}")
            self.flows.update(dict.fromkeys(step.out, refusal))
            return
        results = found if isinstance(found, tuple) else (found,)
        self.flows.update(
            {name: self._own_mask(step, name, flow) for name, flow in zip(step.out, results, strict=True)}
        )
        self._follow_masks(step, names)
        if self.counted:
            self._guard(step, names)
            self._tally(number, call, results)

    def _call(self, step: Step) -> Call:
        known = {name: flow for name, flow in self.flows.items() if not isinstance(flow, Refused)}
        return Call(step, known, self.shapes, self.dtypes, self.counted)

    def _tally(self, number: int, call: Call, results: Sequence[Known]) -> None:
        """Where rows end, note how to count who is behind the result."""
        rows = rows_of(call.operands())
        ends = any(isinstance(flow, Free) and flow.private for flow in results)
        if not rows or not ends:
            return
        name, histogram = call.step.out[0], call.step.op is Op.HISTC
        if histogram or (self._counts(call) and self._one_a_row(call)):
            parts = self._averaged(call) if call.step.op is Op.MEAN_DIM else 1
            self.counts.append(Count(rows[0].table, name, self.dtypes[name], parts))
        elif all(self._is_coded(one) for one in references(call.step) if isinstance(self.flows[one], Rows)):
            self.disguised.append(Disguised(rows[0].table, f"step {number} ({call.step.op.value})"))
        if histogram:
            return
        found = contributions(call, f"#tally.{len(self.tallies)}")
        if found is None:
            self.unfollowed.append(Unfollowed(rows[0].table, f"step {number} ({call.step.op.value})"))
        else:
            self.tallies.append(found)
        self.fits += fit_of(call, rows)

    def _counts(self, call: Call) -> bool:
        """Say whether a sum or mean over rows is of a mask, if only after it was made into numbers."""
        operand = call.argument("self") if call.step.op in (Op.SUM_DIM_INTLIST, Op.MEAN_DIM) else None
        return isinstance(operand, Ref) and (
            operand.name in self.truths or self.dtypes.get(operand.name) is DType.BOOL
        )

    def _one_a_row(self, call: Call) -> bool:
        """Say whether a row has one part in each number: copies of a mask would count it several times."""
        flow = call.flow("self")
        own = flow.axis if isinstance(flow, Rows) else None
        return all(flow.shape[axis] == 1 for axis in axes_of(call, "dim", flow) if axis != own)

    def _averaged(self, call: Call) -> int:
        flow = call.flow("self")
        return prod(flow.shape[axis] for axis in axes_of(call, "dim", flow))

    def _follow_masks(self, step: Step, names: Sequence[str]) -> None:
        """Note what is a mask made into 0 and 1, and what is some other function of nothing but masks."""
        rows = [name for name in names if isinstance(self.flows[name], Rows)]
        if not rows or not all(map(self._is_coded, rows)):
            return
        self.coded.update(step.out)
        whole = all(self.dtypes.get(name) is DType.BOOL or name in self.truths for name in rows)
        if whole and (step.op is Op.TO_COPY or step.op in _MOVES - {Op.CONSTANT_PAD_ND}):
            self.truths.update(step.out)

    def _is_coded(self, name: str) -> bool:
        return name in self.coded or self.dtypes.get(name) is DType.BOOL

    def _own_mask(self, step: Step, name: str, flow: Known) -> Known:
        """A comparison makes a mask of its own; moving a mask does not."""
        if not isinstance(flow, Rows) or not self.counted:
            return flow
        if self.dtypes.get(name) is not DType.BOOL or step.op in _MOVES:
            return flow
        return replace(flow, masks=mask_names(name, flow))

    def _guard(self, step: Step, names: Sequence[str]) -> None:
        """A mask is counted where it is used for something that is not a mask, and a histogram always."""
        kept = all(
            isinstance(self.flows[name], Rows) and self.dtypes.get(name) is DType.BOOL for name in step.out
        )
        for name in names:
            flow = self.flows[name]
            if not isinstance(flow, Rows):
                continue
            if step.op is Op.HISTC:
                self.guarded[step.out[0]] = flow
            if self.dtypes.get(name) is DType.BOOL and not kept:
                self.guarded[name] = flow


def analyse(
    plan: Plan,
    feeds: Mapping[str, Feed],
    shapes: Mapping[str, Shape],
    dtypes: Mapping[str, DType],
    *,
    counted: bool = True,
) -> Analysis:
    """Find out what each output of a checked plan tells of rows.

    ``feeds`` describes the inputs (absent: public), ``shapes`` and ``dtypes`` every value at the sizes that
    will run. ``counted``: guards and tallies are collected, and a value may be gated by one mask only;
    without it (training) masks are treated like any other function of a row. Never raises for a plan that
    passed ``validate``.
    """
    flows: dict[str, Flow] = {
        given.name: _entry(
            given.name, feeds.get(given.name, Feed(Level.PUBLIC)), shapes, dtypes, counted=counted
        )
        for given in plan.inputs
    }
    flows |= {c.name: Free(False, c.shape, uneven(c.shape)) for c in plan.constants}
    coded = {name for name, feed in feeds.items() if feed.coded}
    tracking = _Tracking(shapes, dtypes, counted, flows, coded=coded)
    for number, step in enumerate(plan.steps):
        tracking.step(number, step)
    findings = {
        output.name: _finding(tracking.flows[output.ref], coded=output.ref in tracking.coded)
        for output in plan.outputs
    }
    guarded, guards = _with_guards(plan, tracking)
    return Analysis(
        findings,
        guards,
        guarded,
        tuple(tracking.tallies),
        tuple(tracking.fits),
        tuple(tracking.unfollowed),
        tuple(tracking.counts),
        tuple(tracking.disguised),
    )


def mask_names(name: str, flow: Rows) -> frozenset[str]:
    """Names for a new mask: two where one row has several entries, which may not meet unseen either."""
    entries = 1
    for axis in range(-len(flow.shape), 0):
        entries *= 1 if axis == flow.axis else flow.shape[axis]
    return frozenset({name} if entries <= 1 else {name, f"{name}*"})


def _entry(
    name: str, feed: Feed, shapes: Mapping[str, Shape], dtypes: Mapping[str, DType], *, counted: bool
) -> Flow:
    shape = shapes[name]
    if feed.level is Level.OPAQUE:
        return Refused(f"input {name}: nothing is known of how it was made")
    if feed.level is not Level.ROWS:
        return Free(feed.level is Level.AGGREGATE, shape, uneven(shape))
    if not 0 <= feed.axis < len(shape):
        return Refused(f"input {name}: it has no row axis")
    rows = Rows(shape, feed.axis - len(shape), feed.table)
    if counted and feed.masked:
        return replace(rows, masks=frozenset({name, f"{name}*"}))
    if counted and dtypes[name] is DType.BOOL:
        return replace(rows, masks=mask_names(name, rows))
    return rows


def _finding(flow: Flow, *, coded: bool) -> Finding:
    if isinstance(flow, Refused):
        return Finding(Level.OPAQUE, reason=flow.reason)
    if isinstance(flow, Free):
        return Finding(Level.AGGREGATE if flow.private else Level.PUBLIC)
    return Finding(Level.ROWS, flow.table, flow.axis + len(flow.shape), bool(flow.masks), coded=coded)


def _with_guards(plan: Plan, tracking: _Tracking) -> tuple[Plan, tuple[Guard, ...]]:
    """Extend the plan by steps that count the guarded masks; histograms count themselves."""
    taken = {given.name for given in plan.inputs} | {constant.name for constant in plan.constants}
    taken |= {output.name for output in plan.outputs} | {name for step in plan.steps for name in step.out}
    steps, outputs, guards = list(plan.steps), list(plan.outputs), list[Guard]()
    for name, rows in tracking.guarded.items():
        at = len(guards)
        while (count := f"guard.{at}") in taken:
            at += len(taken) + 1
        taken.add(count)
        counted, mask = name, None
        if tracking.dtypes.get(name) is DType.BOOL:
            mask = Tally(f"#sides.{at}", TallyKind.MASK, rows.table, (name,), rows.axis)
            steps.append(Step(Op.SUM_DIM_INTLIST, (Ref(name), (rows.axis,), False, DType.INT64), (count,)))
            counted = count
        outputs.append(Output(count, Role.OUTPUT, counted))
        guards.append(Guard(count, rows.table, rows.shape[rows.axis], mask))
    return replace(plan, steps=tuple(steps), outputs=tuple(outputs)), tuple(guards)
