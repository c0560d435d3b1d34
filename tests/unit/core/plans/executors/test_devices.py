"""Trainings compute on the device that was asked for; the meta device stands in for another."""

import pytest
import torch

from gridward.core.errors import InvalidInputError
from gridward.core.plans.executors.batches import draw, gather, placed
from gridward.core.plans.executors.devices import CPU, Device, find
from gridward.core.plans.executors.plain import execute
from gridward.core.plans.ops import Op
from gridward.core.plans.plan import (
    Constant,
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

META = torch.device("meta")


def mixed() -> Plan:
    """Add rows, drawn numbers, a constant, and what is made of no value."""
    shape = (Dim("N"), 3)
    return Plan(
        name="mixed",
        kind=Kind.STATISTICS,
        producer="",
        dims=(("N", DimRange(1)),),
        inputs=(
            Input("x", Role.DATA, DType.FLOAT32, shape),
            Input("drawn", Role.RANDOM, DType.FLOAT32, shape),
        ),
        constants=(Constant("c", DType.FLOAT32, (3,), torch.arange(3.0).numpy().tobytes()),),
        steps=(
            Step(Op.ADD_TENSOR, (Ref("x"), Ref("c"), 1), ("a",)),
            Step(Op.FULL, ((3,), 0.5, DType.FLOAT32), ("f",)),
            Step(Op.ADD_TENSOR, (Ref("a"), Ref("f"), 1), ("b",)),
            Step(Op.ADD_TENSOR, (Ref("b"), Ref("drawn"), 1), ("y",)),
        ),
        outputs=(Output("y", Role.OUTPUT, "y"),),
    )


def fed(device: torch.device) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    picked = torch.tensor([2, 0])
    return gather({"x": torch.ones(4, 3)}, picked, device) | draw(mixed(), 2, generator, device)


def test_everything_that_a_plan_reads_or_makes_lies_on_its_device() -> None:
    inputs = fed(META)
    assert {value.device for value in inputs.values()} == {META}
    assert execute(mixed(), inputs, {"N": 2}, device=META)["y"].device == META
    with pytest.raises(Exception, match="step 0"):  # a constant on the processor does not meet the rows
        execute(mixed(), inputs, {"N": 2})


def test_what_is_drawn_is_drawn_on_the_processor() -> None:
    on_cpu = fed(CPU)
    assert torch.equal(on_cpu["drawn"], torch.rand(2, 3, generator=torch.Generator().manual_seed(1)))
    wanted = 1.5 + torch.arange(3.0) + on_cpu["drawn"]
    torch.testing.assert_close(execute(mixed(), on_cpu, {"N": 2})["y"], wanted)


def test_values_that_are_there_are_not_copied() -> None:
    value = torch.ones(3)
    assert placed({"v": value}, CPU)["v"] is value


@pytest.mark.parametrize(
    ("wanted", "seen", "found"),
    [
        (Device.AUTO, True, "cuda"),
        (Device.AUTO, False, "cpu"),
        (Device.CPU, True, "cpu"),
        (Device.CUDA, True, "cuda"),
    ],
)
def test_a_device_is_chosen_by_what_torch_sees(
    wanted: Device, seen: bool, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: seen)
    assert find(wanted) == torch.device(found)


def test_cuda_that_is_not_there_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InvalidInputError, match="set GRIDWARD_DEVICE to 'auto' or 'cpu'"):
        find(Device.CUDA)
