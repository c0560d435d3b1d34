"""A law that every finding must obey: rows have no order.

If a value is an aggregate, shuffling the rows of the data does not change it; if it has rows, they are
shuffled the same way. A rule that lets a row number, a position or a public weight through breaks this on
random plans.
"""

from collections.abc import Callable
from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gridward.core.errors import PlanFailedError, PlanRejectedError
from gridward.core.plans.dtypes import NAMES
from gridward.core.plans.executors.plain import run
from gridward.core.plans.executors.shapes import propagate
from gridward.core.plans.ops import Op
from gridward.core.plans.plan import Argument, DType, Kind, Output, Plan, Ref, Role
from gridward.core.plans.validate import references
from gridward.core.privacy.analysis import Finding, Level
from gridward.core.privacy.call import Call
from gridward.core.privacy.flow import Free, Known, uneven
from gridward.core.privacy.rules import RULES
from tests.support.sketches import Sketch

B = 20
Draw = Callable[[st.SearchStrategy[Any]], Any]
DIM = st.integers(-3, 2)
ONE = st.sampled_from([Op.TANH, Op.ABS, Op.NEG, Op.RELU, Op.SIGMOID])
TWO = st.sampled_from([Op.MUL_TENSOR, Op.MAXIMUM, Op.MM, Op.BMM, Op.POW_TENSOR_TENSOR])
SHAPES = st.sampled_from(
    [(B, 4), (B, 2, 2), (4, B), (1, B, 4), (B, 4, 1), (80,), (2, 10, 4), (B,), (B, 1), (1, B), (4, 1), (2, 2)]
)
MENU = [
    *(
        "two",
        "two",
        "add",
        "sum",
        "one",
        "two",
        "add",
        "sum",
        "mean",
        "var",
        "permute",
        "view",
        "unsqueeze",
        "squeeze",
        "expand",
        "cat",
    ),
    *("pad", "select", "slice", "index", "cumsum", "softmax", "full", "arange", "where", "sort", "norm"),
]


def draw_step(draw: Draw, names: list[str]) -> tuple[Op, tuple[Argument, ...], int]:
    """One random step over known values; whether its shapes fit is found out by trying."""
    a, b = Ref(draw(st.sampled_from(names))), Ref(draw(st.sampled_from(names)))
    dim, keep = draw(DIM), draw(st.booleans())
    dims = draw(st.none() | st.just((dim,)))
    steps: dict[str, Callable[[], tuple[Op, tuple[Argument, ...], int]]] = {
        "one": lambda: (draw(ONE), (a,), 1),
        "two": lambda: (draw(TWO), (a, b), 1),
        "add": lambda: (Op.ADD_TENSOR, (a, b, 1), 1),
        "sum": lambda: (Op.SUM_DIM_INTLIST, (a, dims, keep, None), 1),
        "mean": lambda: (Op.MEAN_DIM, (a, dims, keep, None), 1),
        "var": lambda: (Op.VAR_CORRECTION, (a, dims, 0, keep), 1),
        "permute": lambda: (Op.PERMUTE, (a, tuple(draw(st.permutations(range(draw(st.integers(1, 3))))))), 1),
        "view": lambda: (Op.VIEW, (a, draw(SHAPES)), 1),
        "unsqueeze": lambda: (Op.UNSQUEEZE, (a, dim), 1),
        "squeeze": lambda: (Op.SQUEEZE_DIMS, (a, (dim,)), 1),
        "expand": lambda: (Op.EXPAND, (a, draw(SHAPES)), 1),
        "cat": lambda: (Op.CAT, ((a, b), dim), 1),
        "pad": lambda: (Op.CONSTANT_PAD_ND, (a, draw(st.sampled_from([(1, 1), (0, 0, 1, -1)])), 0.5), 1),
        "select": lambda: (Op.SELECT_INT, (a, dim, 0), 1),
        "slice": lambda: (Op.SLICE_TENSOR, (a, dim, 0, draw(st.sampled_from([1, 4, B])), 1), 1),
        "index": lambda: (Op.INDEX_SELECT, (a, dim, Ref("i")), 1),
        "cumsum": lambda: (Op.CUMSUM, (a, dim, None), 1),
        "softmax": lambda: (Op.SOFTMAX, (a, dim, False), 1),
        "full": lambda: (Op.FULL, (draw(SHAPES), 0.5, DType.FLOAT64), 1),
        "arange": lambda: (Op.ARANGE_START_STEP, (0, draw(st.sampled_from([4, B])), 1, DType.FLOAT64), 1),
        "where": lambda: (Op.WHERE_SELF, (Ref("c"), a, b), 1),
        "sort": lambda: (Op.SORT, (a, dim, False), 2),
        "norm": lambda: (Op.NATIVE_LAYER_NORM, (a, (4,), None, None, 1e-5), 3),
    }
    return steps[draw(st.sampled_from(MENU))]()


def fits(plan: Plan) -> bool:
    try:
        propagate(plan, {})
    except PlanRejectedError:
        return False
    return True


def draw_plan(draw: Draw, sketch: Sketch) -> Plan:
    sketch.rows("x", 4), sketch.rows("y"), sketch.rows("c", dtype=DType.BOOL)
    sketch.public("p", B), sketch.public("q", 4), sketch.public("w", 4, 4)
    sketch.public("i", 2, dtype=DType.INT64)
    ones = [sketch(Op.FULL, shape, 1.0, DType.FLOAT64).name for shape in ((B, 4), (B,))]
    names = ["x", "x", "x", "y", "p", "q", "w", *ones]
    for _ in range(draw(st.integers(2, 9))):
        op, args, results = draw_step(draw, names)
        made = sketch(op, *args, results=results)
        plan = Plan("law", Kind.INFERENCE, "", (), tuple(sketch.inputs), (), tuple(sketch.steps), ())
        if fits(plan):
            names += [made.name] * 2
        else:
            sketch.steps.pop()
    outputs = tuple(Output(name, Role.OUTPUT, name) for step in sketch.steps for name in step.out)
    return Plan("law", Kind.INFERENCE, "", (), tuple(sketch.inputs), (), tuple(sketch.steps), outputs)


def inputs(order: torch.Tensor | None) -> dict[str, torch.Tensor]:
    drawn = torch.Generator().manual_seed(3)
    x = torch.rand(B, 4, generator=drawn, dtype=torch.float64) + 0.1
    y = torch.rand(B, generator=drawn, dtype=torch.float64) + 0.1
    rows = {"x": x, "y": y, "c": y > 0.6}
    public = {
        "p": torch.arange(B, dtype=torch.float64) / B,
        "q": torch.tensor([0.1, 0.4, 0.2, 0.9], dtype=torch.float64),
        "w": torch.rand(4, 4, generator=drawn, dtype=torch.float64),
        "i": torch.tensor([2, 0]),
    }
    return public | (rows if order is None else {name: value[order] for name, value in rows.items()})


def obeys(found: Finding, value: torch.Tensor, shuffled: torch.Tensor, order: torch.Tensor) -> bool:
    if found.level is Level.OPAQUE:
        return True
    wanted = value.index_select(found.axis, order) if found.level is Level.ROWS else value
    return torch.allclose(wanted, shuffled, rtol=1e-9, atol=1e-9, equal_nan=True)


@settings(max_examples=150)
@given(data=st.data())
def test_findings_do_not_depend_on_the_order_of_rows(data: st.DataObject) -> None:
    sketch = Sketch()
    plan = draw_plan(data.draw, sketch)
    if not plan.outputs:
        return
    order = torch.randperm(B, generator=torch.Generator().manual_seed(11))
    try:
        value, shuffled = run(plan, inputs(None)), run(plan, inputs(order))
    except PlanFailedError:
        return
    for name, found in sketch.study(plan, counted=False).findings.items():
        assert obeys(found, value[name], shuffled[name], order), (name, found, plan.steps)
        if found.level is Level.PUBLIC:
            assert torch.equal(value[name].nan_to_num(), shuffled[name].nan_to_num())


def even(flow: Free, value: torch.Tensor) -> bool:
    """Say whether the value is constant along every axis that is said to be so."""
    return all(
        torch.equal(value.select(axis, 0).unsqueeze(axis).expand_as(value).nan_to_num(), value.nan_to_num())
        for axis in range(-value.ndim, 0)
        if axis not in flow.varies and value.shape[axis]
    )


def public_flows(plan: Plan) -> dict[str, Free]:
    """Follow the values that come from no rows through the rules, one by one."""
    values = {name: value for name, value in propagate(plan, {}).values.items() if value is not None}
    shapes = {name: tuple(value.shape) for name, value in values.items()}
    dtypes = {name: NAMES[value.dtype] for name, value in values.items()}
    flows: dict[str, Known] = {name: Free(False, shapes[name], uneven(shapes[name])) for name in "pqwi"}
    for step in plan.steps:
        if all(name in flows for name in references(step)):
            found = RULES[step.op](Call(step, flows, shapes, dtypes, False))
            flows |= dict(zip(step.out, found if isinstance(found, tuple) else (found,), strict=True))
    return {name: flow for name, flow in flows.items() if isinstance(flow, Free)}


@settings(max_examples=150)
@given(data=st.data())
def test_what_is_said_to_weigh_all_rows_the_same_does(data: st.DataObject) -> None:
    plan = draw_plan(data.draw, Sketch())
    try:
        values = run(plan, inputs(None))
    except PlanFailedError:
        return
    for name, flow in public_flows(plan).items():
        assert name not in values or even(flow, values[name]), (name, flow, plan.steps)


def test_the_law_is_not_empty() -> None:
    """An order-dependent value breaks it, so that a lax rule would be noticed."""
    sketch = Sketch()
    x = sketch.rows("x", 4)
    first = sketch(Op.SELECT_INT, x, 0, 0)
    plan = sketch.plan(first)
    order = torch.arange(B - 1, -1, -1)
    given_x = inputs(None)["x"]
    value, shuffled = (run(plan, {"x": rows})["y0"] for rows in (given_x, given_x[order]))
    assert not obeys(Finding(Level.AGGREGATE), value, shuffled, order)
