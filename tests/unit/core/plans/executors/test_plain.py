"""The plain executor refuses inputs that do not fit, keeps to its limits and never quotes values."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from gridward.core.errors import InvalidInputError, PlanFailedError, PlanLimitError, PlanRejectedError
from gridward.core.plans.executors.limits import Estimate, Limits, admit
from gridward.core.plans.executors.plain import bind, run
from gridward.core.plans.ops import Op
from gridward.core.plans.plan import Dim, DimRange, DType, Input, Kind, Output, Plan, Ref, Role, Step

LOOKUP = Plan(
    name="lookup",
    kind=Kind.INFERENCE,
    producer="",
    dims=(("B", DimRange(2, 8)),),
    inputs=(
        Input("table", Role.DATA, DType.FLOAT32, (5, 3)),
        Input("rows", Role.DATA, DType.INT64, (Dim("B"),)),
        Input("again", Role.DATA, DType.INT64, (Dim("B"),)),
    ),
    constants=(),
    steps=(
        Step(Op.INDEX_SELECT, (Ref("table"), 0, Ref("rows")), ("t0",)),
        Step(Op.EXP, (Ref("t0"),), ("t1",)),
    ),
    outputs=(Output("y", Role.OUTPUT, "t1"),),
)


def inputs(**changes: Tensor) -> dict[str, Tensor]:
    good = {"table": torch.zeros(5, 3), "rows": torch.tensor([1, 4]), "again": torch.tensor([0, 0])}
    return good | changes


def test_a_plan_is_computed() -> None:
    assert torch.equal(run(LOOKUP, inputs())["y"], torch.ones(2, 3))


def test_results_carry_no_gradients() -> None:
    table = torch.zeros(5, 3, requires_grad=True)
    assert not run(LOOKUP, inputs(table=table))["y"].requires_grad


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"table": torch.zeros(5, 3, dtype=torch.float64)}, r"'table' is torch\.float64, not torch\.float32"),
        ({"table": torch.zeros(5)}, "'table' has 1 dimensions, not 2"),
        ({"table": torch.zeros(4, 3)}, "'table' has size 4 in dimension 0, not 5"),
        ({"again": torch.tensor([0])}, "'again' has size 1 in dimension 0, not 2"),
        ({"rows": torch.tensor([0]), "again": torch.tensor([0])}, "dim 'B' is 1, outside 2 to 8"),
        ({"other": torch.tensor(0)}, "'other' is not an input of the plan"),
    ],
)
def test_inputs_that_do_not_fit_are_named(changes: dict[str, Tensor], words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        bind(LOOKUP, inputs(**changes))


def test_a_missing_input_is_named() -> None:
    with pytest.raises(InvalidInputError, match="'table' is missing"):
        run(LOOKUP, {"rows": torch.tensor([0, 0]), "again": torch.tensor([0, 0])})


def test_a_failure_names_the_step_and_never_a_value() -> None:
    with pytest.raises(PlanFailedError, match=r"step 0 \(aten.index_select.default\) failed") as caught:
        run(LOOKUP, inputs(rows=torch.tensor([1, 777])))
    assert "777" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_memory_is_refused_before_the_run() -> None:
    with pytest.raises(PlanLimitError, match="bytes of memory, the limit is 100"):
        run(LOOKUP, inputs(), Limits(memory_bytes=100))


def test_operations_are_refused_before_the_run() -> None:
    with pytest.raises(PlanLimitError, match="elementary operations, the limit is 3"):
        run(LOOKUP, inputs(), Limits(operations=3))


def test_the_time_limit_is_looked_at_between_steps() -> None:
    ticks = iter([0.0, 0.5, 1.5])
    with pytest.raises(PlanLimitError, match=r"the time limit passed before step 1 \(aten.exp.default\)"):
        run(LOOKUP, inputs(), Limits(time_s=1), clock=lambda: next(ticks))


def test_shapes_that_do_not_fit_are_refused_by_step() -> None:
    bad = replace(LOOKUP, steps=(Step(Op.MM, (Ref("table"), Ref("table")), ("t1",)),))
    with pytest.raises(PlanRejectedError, match=r"step 0 \(aten.mm.default\)"):
        run(bad, inputs(), Limits())


@pytest.mark.parametrize(
    "options", [{"memory_bytes": 0}, {"operations": 0}, {"time_s": 0.0}, {"time_s": float("inf")}]
)
def test_limits_are_positive_and_finite(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="positive and finite"):
        Limits(**options)  # type: ignore[arg-type]


def test_what_fits_is_admitted() -> None:
    admit(Estimate(peak_bytes=7, operations=9), Limits(memory_bytes=7, operations=9))
