"""A pen for small plans: inputs are rows of one ward of 20 unless said otherwise."""

from dataclasses import replace
from typing import Final

from gridward.core.plans.dtypes import NAMES
from gridward.core.plans.executors.shapes import propagate
from gridward.core.plans.ops import Op
from gridward.core.plans.plan import Argument, Constant, DType, Input, Kind, Output, Plan, Ref, Role, Step
from gridward.core.plans.validate import check
from gridward.core.privacy.analysis import Analysis, Feed, Finding, Level, analyse

ROWS: Final = 20
F64: Final = DType.FLOAT64


class Sketch:
    """Collects inputs and steps; ``find`` analyses what was drawn."""

    def __init__(self) -> None:
        self.inputs: list[Input] = []
        self.feeds: dict[str, Feed] = {}
        self.constants: list[Constant] = []
        self.steps: list[Step] = []

    def rows(
        self,
        name: str,
        *shape: int,
        dtype: DType = DType.FLOAT64,
        table: str = "ward@1",
        masked: bool = False,
    ) -> Ref:
        self.feeds[name] = Feed(Level.ROWS, table, 0, masked)
        return self._input(name, (ROWS, *shape), dtype)

    def public(self, name: str, *shape: int, dtype: DType = DType.FLOAT64) -> Ref:
        return self._input(name, shape, dtype)

    def aggregate(self, name: str, *shape: int) -> Ref:
        self.feeds[name] = Feed(Level.AGGREGATE)
        return self._input(name, shape, DType.FLOAT64)

    def opaque(self, name: str, *shape: int) -> Ref:
        self.feeds[name] = Feed(Level.OPAQUE)
        return self._input(name, shape, DType.FLOAT64)

    def constant(self, *shape: int) -> Ref:
        count = 1
        for size in shape:
            count *= size
        self.constants.append(Constant(f"c{len(self.constants)}", DType.FLOAT64, shape, b"\0" * 8 * count))
        return Ref(self.constants[-1].name)

    def __call__(self, op: Op, *args: Argument, results: int = 1) -> Ref:
        out = tuple(f"t{len(self.steps)}.{at}" for at in range(results))
        self.steps.append(Step(op, args, out))
        return Ref(out[0])

    def plan(self, *results: Ref) -> Plan:
        outputs = tuple(Output(f"y{at}", Role.OUTPUT, ref.name) for at, ref in enumerate(results))
        plan = Plan(
            "sketch",
            Kind.INFERENCE,
            "",
            (),
            tuple(self.inputs),
            tuple(self.constants),
            tuple(self.steps),
            outputs,
        )
        check(plan)
        return plan

    def analyse(self, *results: Ref, counted: bool = True) -> Analysis:
        found = self.study(self.plan(*results), counted=counted)
        check(found.guarded)
        return found

    def study(self, plan: Plan, *, counted: bool) -> Analysis:
        values = {name: value for name, value in propagate(plan, {}).values.items() if value is not None}
        shapes = {name: tuple(value.shape) for name, value in values.items()}
        dtypes = {name: NAMES[value.dtype] for name, value in values.items()}
        return analyse(plan, self.feeds, shapes, dtypes, counted=counted)

    def find(self, result: Ref, counted: bool = True) -> Finding:
        return replace(self.analyse(result, counted=counted).findings["y0"])

    def _input(self, name: str, shape: tuple[int, ...], dtype: DType) -> Ref:
        self.inputs.append(Input(name, Role.DATA, dtype, shape))
        return Ref(name)


def total(s: Sketch, x: Ref, *dims: int) -> Ref:
    """Add up over axes, all if none are given."""
    return s(Op.SUM_DIM_INTLIST, x, dims or None, False, None)


def mean(s: Sketch, x: Ref, *dims: int) -> Ref:
    return s(Op.MEAN_DIM, x, dims or None, False, None)
