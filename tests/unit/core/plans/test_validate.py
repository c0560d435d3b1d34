"""Every rule refuses its breach and names the step to blame."""

import math
from dataclasses import replace
from typing import Any

import pytest

from gridward.core.errors import PlanRejectedError
from gridward.core.plans.ops import ArgKind, Op
from gridward.core.plans.plan import (
    Argument,
    Constant,
    Cost,
    Dim,
    DimRange,
    DType,
    Input,
    Kind,
    Output,
    Plan,
    Ref,
    Role,
    Step,
)
from gridward.core.plans.validate import KINDS, MAX_NAMED_PROBLEMS, check, listing, references

X = Ref("x")
GOOD = Plan(
    name="good",
    kind=Kind.TRAINING,
    producer="",
    dims=(("B", DimRange(1)),),
    inputs=(
        Input("x", Role.DATA, DType.FLOAT32, (Dim("B"), 4)),
        Input("w", Role.PARAM, DType.FLOAT32, (4,)),
        Input("s", Role.STATE, DType.FLOAT32, ()),
    ),
    constants=(Constant("c", DType.BOOL, (2,), b"\0\1"),),
    steps=(Step(Op.NEG, (X,), ("t0",)), Step(Op.MEAN_DIM, (Ref("t0"), None, False, None), ("t1",))),
    outputs=(
        Output("loss", Role.LOSS, "t1"),
        Output("w", Role.PARAM, "w"),
        Output("s", Role.STATE, "s"),
    ),
)


def steps(*more: Step) -> dict[str, Any]:
    return {"steps": (*GOOD.steps, *more)}


def args(op: Op, *arguments: Argument) -> dict[str, Any]:
    return steps(Step(op, arguments, ("t2",)))


def inputs(*more: Input) -> dict[str, Any]:
    return {"inputs": (*GOOD.inputs, *more)}


def outputs(*more: Output) -> dict[str, Any]:
    return {"outputs": (*GOOD.outputs, *more)}


LARGE = Constant("d", DType.UINT8, (1_000_001,), bytes(1_000_001))
STEP = r"step 2 \(aten\.\S+\): "

BREACHES: dict[str, tuple[dict[str, Any], str]] = {
    "opset": ({"opset": "x"}, "opset 'x' is not"),
    "name": ({"name": "a\nb"}, "the plan's name"),
    "no name": ({"name": ""}, "the plan's name"),
    "producer": ({"producer": "<b>"}, "the producer"),
    "cost": ({"cost": Cost(-1, 0)}, "flops_per_sample is out of range"),
    "peak": ({"cost": Cost(0, 2**60)}, "peak_bytes is out of range"),
    "number of steps": (
        {"steps": tuple(Step(Op.NEG, (X,), (f"u{at}",)) for at in range(20_001))},
        "20001 steps are more than 20000",
    ),
    "number of outputs": (
        outputs(*(Output(f"o{at}", Role.OUTPUT, "x") for at in range(20_000))),
        "20003 outputs are more",
    ),
    "a dim's name": ({"dims": (("", DimRange(1)), ("B", DimRange(1)))}, "dim '' is not a name"),
    "a dim twice": ({"dims": (("B", DimRange(1)), ("B", DimRange(1)))}, "dim 'B' is declared twice"),
    "order of dims": (
        {"dims": (("C", DimRange(1)), ("B", DimRange(1)))},
        "dims are not in the order of their names; dim 'C' is the size of no input",
    ),
    "a dim's range": ({"dims": (("B", DimRange(5, 4)),)}, "dim 'B' has no size between 5 and 4"),
    "an undeclared dim": ({"dims": ()}, "input 'x' uses dim 'B', which is not declared"),
    "an input's name": (inputs(Input("a b", Role.DATA, DType.BOOL, ())), "input 'a b' is not a name"),
    "an input twice": (inputs(GOOD.inputs[0]), "input 'x' is declared twice"),
    "an input's role": (inputs(Input("l", Role.LOSS, DType.BOOL, ())), "input 'l' .* cannot be loss"),
    "an input's rank": (inputs(Input("l", Role.DATA, DType.BOOL, (1,) * 9)), "more than 8 dimensions"),
    "an input's size": (inputs(Input("l", Role.DATA, DType.BOOL, (-1,))), "input 'l' has size -1"),
    "targets to infer": (
        {"kind": Kind.INFERENCE, **inputs(Input("y", Role.TARGET, DType.BOOL, ()))},
        "input 'y' of a plan for inference cannot be target",
    ),
    "parameters of statistics": (
        {"kind": Kind.STATISTICS},
        "input 'w' of a plan for statistics cannot be param",
    ),
    "a constant's name": ({"constants": (Constant("", DType.BOOL, (), b"\0"),)}, "constant '' is not a name"),
    "a constant's taken name": (
        {"constants": (Constant("x", DType.BOOL, (), b"\0"),)},
        "constant 'x' takes a name that is in use",
    ),
    "a constant's length": ({"constants": (Constant("c", DType.INT32, (2,), b"1234"),)}, "needs 8 bytes"),
    "a constant's truths": ({"constants": (Constant("c", DType.BOOL, (1,), b"\2"),)}, "not booleans"),
    "a constant's rank": ({"constants": (Constant("c", DType.BOOL, (1,) * 9, b"\0"),)}, "more than 8 dim"),
    "size of constants": ({"constants": (LARGE,)}, "hold 1000001 bytes, more than 1000000"),
    "an unknown reference": (
        args(Op.NEG, Ref("t9")),
        STEP + "'t9' is not an input, a constant or the result",
    ),
    "a reference to itself": (args(Op.NEG, Ref("t2")), STEP + "'t2' is not an input"),
    "a reference ahead": (
        {"steps": (Step(Op.NEG, (Ref("t1"),), ("t0",)), Step(Op.NEG, (X,), ("t1",)))},
        r"step 0 \(aten.neg.default\): 't1' is not an input",
    ),
    "a result twice": (steps(Step(Op.NEG, (X,), ("t1",))), STEP + "result 't1' takes a name that is in use"),
    "a result's name": (steps(Step(Op.NEG, (X,), ("é",))), STEP + "result 'é' is not a name"),
    "too many results": (steps(Step(Op.NEG, (X,), ("a", "b"))), STEP + "names 2 results, the op has 1"),
    "too few results": (steps(Step(Op.SORT, (X, 0, False), ("a",))), STEP + "names 1 results, the op has 2"),
    "number of arguments": (args(Op.NEG, X, 1), STEP + "has 2 arguments, the op takes 1"),
    "an absent argument": (args(Op.NEG, None), STEP + "argument 'self' is not the name of a value"),
    "a number as tensor": (
        args(Op.ADD_TENSOR, X, 1, 1),
        STEP + "argument 'other' is not the name of a value",
    ),
    "no tensors": (args(Op.CAT, (), 0), STEP + "argument 'tensors' is not a list of names"),
    "a missing tensor": (args(Op.CAT, (X, None), 0), STEP + "argument 'tensors' is not a list of names"),
    "only missing indices": (args(Op.INDEX_TENSOR, X, (None,)), STEP + "argument 'indices' is not a list"),
    "too many indices": (args(Op.INDEX_TENSOR, X, (X,) * 9), STEP + "argument 'indices' is not a list of at"),
    "a float as int": (args(Op.UNSQUEEZE, X, 1.0), STEP + "argument 'dim' is not an integer"),
    "a truth as int": (args(Op.UNSQUEEZE, X, True), STEP + "argument 'dim' is not an integer"),
    "an int of 54 bits": (args(Op.UNSQUEEZE, X, 2**53), STEP + "argument 'dim' is not an integer"),
    "a dim as int list": (
        args(Op.PERMUTE, X, (Dim("B"),)),
        STEP + "argument 'dims' is not a list of at most",
    ),
    "a long int list": (args(Op.PERMUTE, X, (0,) * 65), STEP + "argument 'dims' is not a list of at most 64"),
    "an empty int list": (args(Op.AMAX, X, (), False), STEP + "argument 'dim' is empty; leave it out"),
    "an unknown dim": (args(Op.VIEW, X, (Dim("C"),)), STEP + "argument 'size' uses dim 'C'"),
    "a negative size": (args(Op.VIEW, X, (-2,)), STEP + "argument 'size' holds -2"),
    "nine sizes": (args(Op.VIEW, X, (1,) * 9), STEP + "argument 'size' is not a list of at most 8 sizes"),
    "two inferred sizes": (args(Op.VIEW, X, (-1, -1)), STEP + "'size' infers more than one size"),
    "an inferred size of nothing": (args(Op.FULL, (-1,), 0, DType.BOOL), STEP + "'size' cannot be inferred"),
    "minus zero": (args(Op.MUL_SCALAR, X, -0.0), STEP + "argument 'other' is -0.0"),
    "a word as number": (args(Op.MUL_SCALAR, X, "1"), STEP + "argument 'other' is not a number"),
    "an int as bool": (args(Op.SORT, X, 0, 1), STEP + "argument 'descending' is not true or false"),
    "two bools": (
        args(
            Op.CONVOLUTION_BACKWARD,
            *(X, X, X, None, (1,), (0,), (1,), False, (0,), 1, (True, False)),
        ),
        STEP + "argument 'output_mask' is not three booleans",
    ),
    "another word": (args(Op.GELU, X, "exact"), STEP + "argument 'approximate' is not one of none, tanh"),
    "a word as dtype": (args(Op.TO_COPY, X, "float32"), STEP + "argument 'dtype' is not a dtype"),
    "a histogram over its data": (args(Op.HISTC, X, 9, 0, 0), STEP + "'min' must be below 'max'"),
    "a histogram without end": (args(Op.HISTC, X, 9, 0, math.inf), STEP + "'min' and 'max' must be finite"),
    "a histogram of rows": (args(Op.HISTC, X, 10**6, 0, 1), STEP + "'bins' is not between 1 and 10000"),
    "a quantile": (args(Op.QUANTILE_SCALAR, X, 2.0, None, False, "linear"), STEP + "'q' is not between"),
    "a step back": (args(Op.SLICE_TENSOR, X, 0, None, None, 0), STEP + "'step' must be at least 1"),
    "an endless range": (args(Op.ARANGE_START_STEP, 0, math.inf, 1, DType.INT64), STEP + ".*must be finite"),
    "a standing range": (args(Op.ARANGE_START_STEP, 0, 1, 0, DType.INT64), STEP + ".*'step' not 0"),
    "no outputs": ({"outputs": ()}, "the plan has no outputs"),
    "an output's name": (outputs(Output("a b", Role.OUTPUT, "x")), "output 'a b' is not a name"),
    "an output twice": (outputs(Output("s", Role.STATE, "s")), "output 's' is declared twice"),
    "an output's value": (outputs(Output("o", Role.OUTPUT, "t9")), "output 'o': 't9' is not a value"),
    "an output's role": (outputs(Output("o", Role.DATA, "x")), "output 'o' .* cannot be data"),
    "a parameter from nowhere": (outputs(Output("v", Role.PARAM, "x")), "output 'v' replaces no param input"),
    "a parameter for data": (outputs(Output("x", Role.PARAM, "x")), "output 'x' replaces no param input"),
    "no loss": ({"outputs": GOOD.outputs[1:]}, "has one loss, not 0"),
    "two losses": (outputs(Output("other", Role.LOSS, "t1")), "has one loss, not 2"),
}


def test_a_well_formed_plan_is_accepted() -> None:
    check(GOOD)


@pytest.mark.parametrize("name", BREACHES)
def test_a_breach_is_refused_and_named(name: str) -> None:
    changes, words = BREACHES[name]
    with pytest.raises(PlanRejectedError, match=words):
        check(replace(GOOD, **changes))


def test_all_offending_steps_are_named_at_once() -> None:
    bad = steps(Step(Op.NEG, (Ref("p"),), ("a",)), Step(Op.NEG, (Ref("q"),), ("b",)))
    with pytest.raises(PlanRejectedError, match=r"step 2 .*'p'.*step 3 .*'q'"):
        check(replace(GOOD, **bad))


def test_a_long_list_of_problems_is_cut() -> None:
    assert listing(["x"] * (MAX_NAMED_PROBLEMS + 3)).endswith("x; and 3 more")


def test_every_kind_of_argument_has_a_rule() -> None:
    assert set(KINDS) == set(ArgKind)


def test_references_are_found_in_lists_too() -> None:
    step = Step(Op.INDEX_TENSOR, (Ref("a"), (None, Ref("b"), Ref("a"))), ("t",))
    assert list(references(step)) == ["a", "b", "a"]
