"""Batch norm in evaluation, inside the layer before it or alone; the forms of convolution; shared values."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gridward.core.errors import InvalidInputError, OutOfRangeError
from gridward.core.plans.ops import Op
from gridward.core.plans.plan import Ref
from gridward.core.plans.trace import trace_module
from gridward.core.smpc.compile import compile_plan
from gridward.core.smpc.deployment import split_parameters
from gridward.core.smpc.gate import Convolution, MultiplyParameter, Open, Truncate
from gridward.core.smpc.program import Program
from tests.support.encrypted import drawn, run_module
from tests.support.parties import BATCH, SeededEntropy, linear_steps, plan_of, step


def lively(module: nn.Module, seed: int = 1) -> nn.Module:
    """Give batch norms statistics and gains that are not those of a fresh module."""
    torch.manual_seed(seed)
    for part in module.modules():
        if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
            assert part.running_mean is not None and part.running_var is not None
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2.0)
            if part.affine:
                nn.init.uniform_(part.weight, -1.5, 1.5)
                nn.init.normal_(part.bias)
    return module.eval()


class Block(nn.Module):
    """A residual block with a projection: one value feeds two layers, two sums meet before a ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(2, 4, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(4))
        self.second = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4))
        self.short = nn.Sequential(nn.Conv2d(2, 4, 1, stride=2, bias=False), nn.BatchNorm2d(4))
        self.drop = nn.Dropout(0.5)
        self.last = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(x)
        h = torch.relu(self.first(x))
        h = torch.relu(self.second(h) + self.short(x))
        return self.last(self.drop(h.mean((2, 3))))


class Kept(nn.Module):
    """A norm whose layer something else reads too."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 2, 1)
        self.norm = nn.BatchNorm2d(2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.layer(x)
        return self.norm(h) + h


MODULES = {
    "convolution and norm": (lambda: nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)), (2, 2, 5, 5)),
    "norm without gains": (
        lambda: nn.Sequential(nn.Conv2d(2, 4, 1, groups=2), nn.BatchNorm2d(4, affine=False)),
        (1, 2, 3, 3),
    ),
    "layer and norm": (lambda: nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)), (2, 4)),
    "layer without bias and norm": (
        lambda: nn.Sequential(nn.Linear(4, 3, bias=False), nn.BatchNorm1d(3)),
        (2, 4),
    ),
}
ALONE = {
    "norm first": (lambda: nn.Sequential(nn.BatchNorm2d(2), nn.ReLU(), nn.Conv2d(2, 2, 3)), (1, 2, 4, 4)),
    "norm behind a sequence's relu": (lambda: nn.Sequential(nn.ReLU(), nn.BatchNorm1d(3)), (2, 3)),
    "two norms": (lambda: nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.BatchNorm1d(3)), (2, 3)),
    "a layer read twice": (Kept, (1, 1, 3, 3)),
}


def norms_alone(program: Program) -> int:
    return sum(isinstance(gate, MultiplyParameter) for gate in program.gates)


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("parties", [2, 3])
def test_a_norm_behind_a_layer_is_in_its_parameters(name: str, parties: int) -> None:
    make, shape = MODULES[name]
    assert norms_alone(run_module(lively(make()), drawn(*shape), 32, parties=parties)) == 0


@pytest.mark.parametrize("name", ALONE)
def test_a_norm_that_cannot_be_folded_multiplies_by_its_gain(name: str) -> None:
    make, shape = ALONE[name]
    assert norms_alone(run_module(lively(make()), drawn(*shape), 32)) == 1


@pytest.mark.parametrize("parties", [2, 3, 5])
def test_a_residual_block_opens_each_value_once(parties: int) -> None:
    program = run_module(lively(Block()), drawn(2, 2, 6, 6), 64, parties=parties)
    assert norms_alone(program) == 0
    assert sum(isinstance(gate, Convolution) for gate in program.gates) == 3
    # behind the first ReLU both branches take one wire; their sum is truncated once, and so is the mean
    sources = [gate.sources[0] for gate in program.gates if isinstance(gate, Convolution)]
    assert len(set(sources)) == 2
    assert sum(isinstance(gate, Truncate) for gate in program.gates) == 3
    assert sum(isinstance(gate, Open) for gate in program.gates) == 3


CONVOLUTIONS = [
    ((4, 6, 1), {}),
    ((2, 3, (1, 3)), {}),
    ((2, 3, (3, 1)), {"padding": (1, 0)}),
    ((2, 2, (2, 3)), {"stride": (2, 1), "padding": (1, 2)}),
    ((4, 4, 3), {"groups": 4, "padding": 1}),
    ((4, 6, 3), {"groups": 2, "stride": 2}),
    ((2, 3, 3), {"dilation": (2, 1), "padding": (2, 0)}),
    ((4, 2, 3), {"dilation": 2, "groups": 2, "stride": (1, 2), "padding": 2, "bias": False}),
]


@pytest.mark.parametrize(("sizes", "more"), CONVOLUTIONS)
@pytest.mark.parametrize("batch", [1, 2])
def test_convolutions_of_every_form_are_those_of_torch(sizes: tuple, more: dict, batch: int) -> None:  # type: ignore[type-arg]
    torch.manual_seed(2)
    run_module(nn.Conv2d(*sizes, **more), drawn(batch, sizes[0], 6, 7), 32)


def test_programs_differ_with_what_a_norm_is_folded_from() -> None:
    def digests(eps: float) -> tuple[str, str]:
        module = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2, eps=eps)).eval()
        program = compile_plan(trace_module(module, (torch.zeros(2, 3),), name="n").plan, batch=1, parties=2)
        return program.digest, program.setup_digest

    one, other = digests(1e-5), digests(1e-3)
    assert one == digests(1e-5)
    assert one[0] != other[0] and one[1] != other[1]


def folded_program() -> tuple[Program, dict[str, np.ndarray]]:  # type: ignore[type-arg]
    traced = trace_module(
        nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).eval(), (torch.zeros(2, 3),), name="n"
    )
    values = {name: value.double().numpy() for name, value in traced.parameters.items()}
    return compile_plan(traced.plan, batch=1, parties=2), values


def test_the_owner_hears_of_a_source_that_is_missing_or_makes_no_sense() -> None:
    program, values = folded_program()
    with pytest.raises(InvalidInputError, match=r"'1\.running_var' is missing"):
        split_parameters(program, {k: v for k, v in values.items() if k != "1.running_var"}, SeededEntropy(1))
    with pytest.raises(OutOfRangeError, match="variance is not positive"):
        split_parameters(program, values | {"1.running_var": np.array([1.0, -1.0])}, SeededEntropy(1))
    with pytest.raises(InvalidInputError, match=r"0\.weight"):
        split_parameters(program, values | {"1.weight": np.ones(3)}, SeededEntropy(1))


def test_parameters_name_the_plans_that_they_take() -> None:
    program, _ = folded_program()
    weight, shift = program.parameters
    assert (weight.name, weight.masked, shift.masked) == ("0.weight", True, False)
    assert set(weight.sources) == {"0.weight", "1.weight", "1.running_var"}
    assert set(shift.sources) == {"0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var"}


def test_a_norm_that_reads_what_is_made_after_the_layer_is_not_folded_into_it() -> None:
    shapes = {"fc.weight": (3, 2), "fc.bias": (3,), "mean": (3,), "variance": (1, 3)}
    steps = [
        *linear_steps("x", "fc", "h"),
        step(Op.VIEW, Ref("variance"), (3,), out="flat"),
        step(
            Op.BATCH_NORM_NO_TRAINING,
            *(Ref("h"), None, None, Ref("mean"), Ref("flat"), 0.1, 1e-5),
            out=("y", "m", "s"),
        ),
    ]
    program = compile_plan(plan_of(steps, (BATCH, 2), shapes, "y"), batch=2, parties=2)
    assert [gate for gate in program.gates if isinstance(gate, MultiplyParameter)]
