"""Kernels that trust their operands never see operands that they would leave the memory of."""

import pytest
import torch

from gridward.core.errors import PlanFailedError, PlanRejectedError
from gridward.core.plans.dtypes import NAMES
from gridward.core.plans.executors.limits import Limits
from gridward.core.plans.executors.plain import run
from gridward.core.plans.executors.shapes import propagate
from gridward.core.plans.ops import Op
from gridward.core.plans.plan import Argument, DType, Input, Kind, Output, Plan, Ref, Role, Step
from gridward.core.plans.table import SPECS
from gridward.core.plans.validate import check

F64 = DType.FLOAT64
POOL = ((2, 2), (2, 2), (0, 0))
CONVOLUTION = ((1, 1), (0, 0), (1, 1), False, (0, 0), 1, (True, True, True))


def ones(*shape: int) -> torch.Tensor:
    return torch.ones(shape, dtype=torch.float64)


def whole(value: int, *shape: int) -> torch.Tensor:
    return torch.full(shape, value)


def plan_of(op: Op, args: tuple[Argument | torch.Tensor, ...]) -> tuple[Plan, dict[str, torch.Tensor]]:
    fed = {f"v{at}": value for at, value in enumerate(args) if isinstance(value, torch.Tensor)}
    inputs = tuple(
        Input(name, Role.DATA, NAMES[value.dtype], tuple(value.shape)) for name, value in fed.items()
    )
    written = tuple(
        Ref(f"v{at}") if isinstance(value, torch.Tensor) else value for at, value in enumerate(args)
    )
    out = tuple(f"t{at}" for at in range(SPECS[op].results))
    outputs = (Output("y", Role.OUTPUT, "t0"),)
    return Plan("one step", Kind.INFERENCE, "", (), inputs, (), (Step(op, written, out),), outputs), fed


MISFITS = {
    "log_softmax": (Op.LOG_SOFTMAX_BACKWARD_DATA, (ones(1, 4096), ones(1, 16), 1, F64)),
    "softmax": (Op.SOFTMAX_BACKWARD_DATA, (ones(1, 16), ones(1, 8), 1, F64)),
    "softmax to another dtype": (Op.SOFTMAX_BACKWARD_DATA, (ones(1, 16), ones(1, 16), 1, DType.BOOL)),
    "statistics": (
        Op.BATCH_NORM_NO_TRAINING,
        (ones(2, 64, 3), None, None, ones(1), ones(1), 0.1, 1e-5),
    ),
    "shift": (
        Op.BATCH_NORM_NO_TRAINING,
        (ones(2, 64, 3), None, ones(1), ones(64), ones(64), 0.1, 1e-5),
    ),
    "average pool, fewer pictures": (
        Op.AVG_POOL2D_BACKWARD,
        (ones(1, 8, 2, 2), ones(64, 8, 4, 4), *POOL, False, True, None),
    ),
    "average pool, more pictures": (
        Op.AVG_POOL2D_BACKWARD,
        (ones(64, 8, 2, 2), ones(1, 8, 4, 4), *POOL, False, True, None),
    ),
    "adaptive pool, fewer channels": (
        Op.ADAPTIVE_AVG_POOL2D_BACKWARD,
        (ones(2, 1, 2, 2), ones(2, 8, 4, 4)),
    ),
    "adaptive pool, more pictures": (Op.ADAPTIVE_AVG_POOL2D_BACKWARD, (ones(9, 8, 2, 2), ones(1, 8, 4, 4))),
    "max pool, fewer indices": (
        Op.MAX_POOL2D_WITH_INDICES_BACKWARD,
        (ones(4, 8, 2, 2), ones(4, 8, 4, 4), *POOL, (1, 1), False, whole(0, 1, 8, 2, 2)),
    ),
    "convolution, fewer pictures": (
        Op.CONVOLUTION_BACKWARD,
        (ones(1, 2, 2, 2), ones(64, 3, 4, 4), ones(2, 3, 3, 3), (2,), *CONVOLUTION),
    ),
    "convolution, other bias": (
        Op.CONVOLUTION_BACKWARD,
        (ones(4, 2, 2, 2), ones(4, 3, 4, 4), ones(2, 3, 3, 3), (9,), *CONVOLUTION),
    ),
    "embedding, other width": (
        Op.EMBEDDING_DENSE_BACKWARD,
        (ones(1, 8), whole(0, 4), 3, -1, False),
    ),
}

STRAYS = {
    "max pool": (
        Op.MAX_POOL2D_WITH_INDICES_BACKWARD,
        (ones(1, 1, 2, 2), ones(1, 1, 4, 4), *POOL, (1, 1), False, whole(10**6, 1, 1, 2, 2)),
    ),
    "max pool, below": (
        Op.MAX_POOL2D_WITH_INDICES_BACKWARD,
        (ones(1, 1, 2, 2), ones(1, 1, 4, 4), *POOL, (1, 1), False, whole(-5, 1, 1, 2, 2)),
    ),
    "embedding": (Op.EMBEDDING_DENSE_BACKWARD, (ones(4, 2), whole(10**6, 4), 3, -1, True)),
    "embedding, below": (Op.EMBEDDING_DENSE_BACKWARD, (ones(4, 2), whole(-7, 4), 3, -1, True)),
}


@pytest.mark.parametrize("case", MISFITS.values(), ids=MISFITS)
def test_a_gradient_that_does_not_fit_its_forward_op_is_refused_before_it_runs(
    case: tuple[Op, tuple[Argument | torch.Tensor, ...]],
) -> None:
    plan, fed = plan_of(*case)
    with pytest.raises(PlanRejectedError, match="step 0"):
        propagate(plan, {})
    with pytest.raises(PlanFailedError, match="step 0"):
        run(plan, fed)


@pytest.mark.parametrize("case", STRAYS.values(), ids=STRAYS)
def test_an_index_outside_of_its_target_is_refused_when_it_runs(
    case: tuple[Op, tuple[Argument | torch.Tensor, ...]],
) -> None:
    plan, fed = plan_of(*case)
    propagate(plan, {})
    with pytest.raises(PlanFailedError, match="step 0"):
        run(plan, fed)


def test_what_fits_runs() -> None:
    given = torch.rand(2, 3, 4, 4, dtype=torch.float64)
    pooled, indices = torch.ops.aten.max_pool2d_with_indices(given, [2, 2], [2, 2])
    plan, fed = plan_of(Op.MAX_POOL2D_WITH_INDICES_BACKWARD, (pooled, given, *POOL, (1, 1), False, indices))
    assert torch.equal(run(plan, fed)["y"], torch.where(run(plan, fed)["y"] != 0, given, 0.0))


def test_a_value_of_another_dtype_than_was_foreseen_ends_a_stranger_s_plan() -> None:
    plan, fed = plan_of(Op.THRESHOLD_BACKWARD, (whole(3, 4), ones(4), 0))
    with pytest.raises(PlanFailedError, match="than foreseen"):
        run(plan, fed, Limits())


def test_sizes_that_a_mask_makes_are_not_foreseen() -> None:
    mask = torch.tensor([True, False, True])
    plan, fed = plan_of(Op.INDEX_TENSOR, (ones(3), (Ref("v2"),), mask))
    step = plan.steps[0]
    kept = Step(step.op, (Ref("v0"), (Ref("v2"),)), step.out)
    steps = (kept, Step(Op.EXP, (Ref("t0"),), ("t1",)))
    plan = Plan("kept", Kind.INFERENCE, "", (), plan.inputs, (), steps, (Output("y", Role.OUTPUT, "t1"),))
    assert run(plan, fed, Limits())["y"].shape == (2,)


@pytest.mark.parametrize("reduction", [-1, 3])
def test_a_loss_is_reduced_in_one_of_three_ways(reduction: int) -> None:
    plan, _ = plan_of(Op.NLL_LOSS_FORWARD, (ones(8, 3), whole(0, 8), None, reduction, -100))
    with pytest.raises(PlanRejectedError, match="reduction"):
        check(plan)


def test_batch_norm_of_a_stranger_turns_out_as_foreseen() -> None:
    given = torch.rand(2, 3, 4, dtype=torch.float64)
    mean, var = torch.rand(3, dtype=torch.float64), torch.rand(3, dtype=torch.float64) + 1
    plan, fed = plan_of(Op.BATCH_NORM_NO_TRAINING, (given, None, None, mean, var, 0.1, 1e-5))
    wanted = torch.nn.functional.batch_norm(given, mean, var)
    assert torch.allclose(run(plan, fed, Limits())["y"], wanted)
