"""Simplifying shortens plans and changes no result."""

import torch

from gridward.core.plans.executors.plain import run
from gridward.core.plans.ops import Op
from gridward.core.plans.plan import Argument, DType, Input, Kind, Output, Plan, Ref, Role, Step
from gridward.core.plans.simplify import simplify
from gridward.core.plans.validate import check


def plan(*steps: tuple[Op, tuple[Argument, ...], tuple[str, ...]], out: str) -> Plan:
    return Plan(
        name="p",
        kind=Kind.INFERENCE,
        producer="",
        dims=(),
        inputs=(Input("t0", Role.DATA, DType.FLOAT32, (2, 3)), Input("s", Role.STATE, DType.FLOAT32, ())),
        constants=(),
        steps=tuple(Step(*step) for step in steps),
        outputs=(Output("y", Role.OUTPUT, out),),
    )


def test_equal_steps_run_once_and_unread_steps_never() -> None:
    short = simplify(
        plan(
            (Op.EXP, (Ref("t0"),), ("a",)),
            (Op.EXP, (Ref("t0"),), ("b",)),
            (Op.LOG, (Ref("s"),), ("c",)),
            (Op.ADD_TENSOR, (Ref("a"), Ref("b"), 1), ("d",)),
            out="d",
        )
    )
    assert [step.op for step in short.steps] == [Op.EXP, Op.ADD_TENSOR]
    assert [value.name for value in short.inputs] == ["t0"]
    check(short)


def test_one_and_one_point_zero_and_true_are_different_numbers() -> None:
    long = plan(
        (Op.MUL_SCALAR, (Ref("t0"), 1), ("a",)),
        (Op.MUL_SCALAR, (Ref("t0"), 1.0), ("b",)),
        (Op.MUL_SCALAR, (Ref("t0"), True), ("c",)),
        (Op.CAT, ((Ref("a"), Ref("b"), Ref("c")), 0), ("d",)),
        out="d",
    )
    assert len(simplify(long).steps) == 4


def test_permutations_join_and_cancel() -> None:
    long = plan(
        (Op.PERMUTE, (Ref("t0"), (1, 0)), ("a",)),
        (Op.PERMUTE, (Ref("a"), (-1, -2)), ("b",)),
        (Op.NEG, (Ref("b"),), ("c",)),
        out="c",
    )
    short = simplify(long)
    assert [step.op for step in short.steps] == [Op.NEG]
    x = torch.arange(6.0).reshape(2, 3)
    inputs = {"t0": x, "s": torch.zeros(())}
    assert torch.equal(run(long, inputs)["y"], run(short, {"t0": x})["y"])


def test_results_are_numbered_past_names_of_inputs() -> None:
    short = simplify(plan((Op.NEG, (Ref("t0"),), ("x.y",)), out="x.y"))
    assert short.steps[0].out == ("t1",)
    assert short.outputs[0].ref == "t1"
