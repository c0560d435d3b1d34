"""Arguments that cover the declared range, and functions run on them encrypted."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gridward.core.plans.trace import trace_module
from gridward.core.smpc.compile import compile_plan
from gridward.core.smpc.program import Program
from tests.support.encrypted import assert_kept

ULP = 2.0**-16
END = 2.0**15
"""The declared range at 16 fraction bits and a width of 32."""


class Behind(nn.Module):
    """A function, with a layer of the identity behind it where its roundings shall not show."""

    def __init__(self, function: Callable[[Tensor], Tensor], columns: int, shows: bool) -> None:
        super().__init__()
        self.function = function
        self.layer = nn.Identity() if shows else nn.Linear(columns, columns, bias=False)
        if not shows:
            nn.init.eye_(self.layer.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Apply both."""
        return self.layer(self.function(x))


def run_behind(
    function: Callable[[Tensor], Tensor], x: Tensor, shows: bool = True, **numbers: Any
) -> tuple[Tensor, Program]:
    """Run a function of (rows, columns) encrypted: equal to the reference, at the costs stated."""
    module = Behind(function, x.shape[-1], shows).eval()
    traced = trace_module(module, (x[:2].float(),), name="f")
    program = compile_plan(traced.plan, **({"batch": len(x), "parties": 2} | numbers))
    values = {name: value.double().numpy() for name, value in traced.parameters.items()}
    return torch.from_numpy(assert_kept(program, values, x.numpy()).output), program


def dense(reach: float, count: int, seed: int = 1) -> Tensor:
    """Give (count, 4) arguments of 16 fraction bits: evenly up to ``reach``, by decades, and the ends."""
    rng = np.random.default_rng(seed)
    even = rng.uniform(-reach, reach, 2 * count)
    decades = 2.0 ** rng.uniform(-16, np.log2(reach), 2 * count - 8) * rng.choice([-1, 1], 2 * count - 8)
    ends = [END - ULP, -END + ULP, 0.0, ULP, -ULP, 1.0, -1.0, END / 2]
    values = np.concatenate([even, decades, ends])
    return torch.from_numpy(np.round(values * 2**16) / 2**16).reshape(count, 4)


def positive(count: int, seed: int = 1) -> Tensor:
    """Give (count, 4) positive arguments by decades over the whole range, and all of the least ones."""
    rng = np.random.default_rng(seed)
    least = np.arange(1, 65) * ULP
    values = np.concatenate([2.0 ** rng.uniform(-16, 15, 4 * count - 65), least, [END - ULP]])
    return torch.from_numpy(np.maximum(np.floor(values * 2**16), 1) / 2**16).reshape(count, 4)
