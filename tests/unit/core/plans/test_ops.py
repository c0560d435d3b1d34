"""The vocabulary of ops is torch's, and every op says all that its readers need."""

import pytest
import torch

from gridward.core.plans.ops import Op
from gridward.core.plans.table import SPECS

#: What executors choose themselves, and what only a backward pass would read.
LEFT_OUT = frozenset(
    {
        *("layout", "device", "pin_memory", "memory_format", "non_blocking", "generator"),
        *("implicit", "sparse_grad"),
    }
)
BACKWARD_ONLY = {Op.EMBEDDING: frozenset({"padding_idx", "scale_grad_by_freq", "sparse"})}


def schema(op: Op) -> torch.FunctionSchema:
    _, packet, overload = op.value.split(".")
    found: torch.FunctionSchema = getattr(getattr(torch.ops.aten, packet), overload)._schema
    return found


def test_the_table_describes_every_op() -> None:
    assert set(SPECS) == set(Op)


@pytest.mark.parametrize("op", Op)
def test_arguments_and_results_are_those_of_torch_in_order(op: Op) -> None:
    left_out = LEFT_OUT | BACKWARD_ONLY.get(op, frozenset())
    names = [argument.name for argument in schema(op).arguments if argument.name not in left_out]
    assert [param.name for param in SPECS[op].params] == names
    assert SPECS[op].results == len(schema(op).returns)


@pytest.mark.parametrize("op", Op)
def test_members_are_named_by_their_overload(op: Op) -> None:
    _, packet, overload = op.value.split(".")
    name = packet.strip("_") if overload == "default" else f"{packet.strip('_')}_{overload}"
    renamed = {
        "NATIVE_BATCH_NORM_LEGIT_NO_TRAINING": "BATCH_NORM_NO_TRAINING",
        "POW_SCALAR": "POW_SCALAR",
    }
    assert op.name == renamed.get(name.upper(), name.upper())


def test_an_argument_is_found_by_its_name() -> None:
    assert SPECS[Op.SUM_DIM_INTLIST].position("dim") == 1
    assert SPECS[Op.RELU].position("dim") is None
