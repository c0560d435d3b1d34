"""Functions and modules run encrypted, and held to all that is promised of a run."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gridward.core.plans.trace import Traced, trace_function, trace_module
from gridward.core.smpc.compile import compile_plan
from gridward.core.smpc.fixed_reference import evaluate, truncation_masks
from gridward.core.smpc.program import Program
from tests.support.parties import Answered, Grid, ask, deployed

ULP = 2.0**-16


def assert_costs(grid: Grid, got: Answered) -> None:
    """Hold a query to the rounds and bytes that its program states."""
    costs = grid.program.costs
    assert {(result.rounds, result.bytes_sent) for result in got.results} == {
        (costs.rounds, costs.online_bytes_per_party)
    }
    assert sum(len(packet) for packet in got.packets) == costs.dealer_bytes
    received = [sum(len(frame) for frame in frames) for frames in got.frames]
    assert received == [costs.online_bytes_per_party] * grid.program.parties


def assert_kept(program: Program, values: Mapping[str, NDArray[Any]], x: NDArray[Any]) -> Answered:
    """Ask once: the answer is the fixed-point reference's bit for bit, the costs are those stated."""
    grid = deployed(program, values)
    got = ask(grid, x, corrected_party=program.parties - 1)
    clear = evaluate(program, values, x, truncation_masks(program, got.packets))
    assert np.array_equal(got.output, clear)
    assert_costs(grid, got)
    return got


def run_function(
    function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, ulps: float, **numbers: Any
) -> Program:
    """Trace a function of one tensor and run it encrypted; it must come within ``ulps`` of float64."""
    return _run(trace_function(function, {"x": x.float()}, name="f"), x, function(x), ulps, numbers)


def run_module(module: torch.nn.Module, x: torch.Tensor, ulps: float, **numbers: Any) -> Program:
    """Trace a module and run it encrypted; it must come within ``ulps`` of float64."""
    module.eval()
    traced = trace_module(module, (x.float(),), name="m")
    with torch.no_grad():
        return _run(traced, x, module.double()(x), ulps, numbers)


def _run(
    traced: Traced, x: torch.Tensor, wanted: torch.Tensor, ulps: float, numbers: dict[str, Any]
) -> Program:
    program = compile_plan(traced.plan, **({"batch": len(x), "parties": 2} | numbers))
    values = {name: value.double().numpy() for name, value in traced.parameters.items()}
    got = assert_kept(program, values, x.numpy())
    assert np.max(np.abs(got.output - wanted.numpy())) <= ulps * ULP
    return program


def drawn(*shape: int, seed: int = 1, spread: float = 1.0) -> torch.Tensor:
    """Draw numbers in float64 that float32 and 16 fraction bits hold exactly."""
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * spread
    return torch.round(values * 2**12) / 2**12
