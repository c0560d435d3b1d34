"""The networks that are measured, with seeded random weights, so that anyone can repeat a line."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from gridward.bench import architectures
from gridward.core.plans.plan import Plan
from gridward.core.plans.trace import trace_module

SEED = 20

MAKERS: Final[Mapping[str, Callable[[], tuple[nn.Module, architectures.Row]]]] = MappingProxyType(
    {
        "mlp": architectures.mlp,
        "lenet": architectures.lenet,
        "vgg16": architectures.vgg16,
        "alexnet": architectures.alexnet,
        "resnet18": architectures.resnet18,
        "resnet50": architectures.resnet50,
        "transformer": architectures.transformer,
    }
)


@dataclass(frozen=True, slots=True)
class Network:
    """A module in evaluation mode, its plan, its parameters as float64, and the shape of one row."""

    module: nn.Module
    plan: Plan
    parameters: Mapping[str, NDArray[np.float64]]
    row: tuple[int, ...]

    def inputs(self, batch: int, seed: int) -> torch.Tensor:
        """Draw ``batch`` rows of float32 from [0, 1), the range of pixels."""
        return torch.rand((batch, *self.row), generator=torch.Generator().manual_seed(seed))

    def in_the_clear(self, x: torch.Tensor) -> NDArray[np.float64]:
        """Compute in torch's float32."""
        with torch.no_grad():
            return np.asarray(self.module(x).double().numpy())


def network(name: str) -> Network:
    """Make one of ``MAKERS`` with weights that are the same each time."""
    torch.manual_seed(SEED)
    module, row = MAKERS[name]()
    return of_module(module.eval(), row, name)


def of_module(module: nn.Module, row: tuple[int, ...], name: str) -> Network:
    """Trace a module that takes rows of one shape."""
    traced = trace_module(module, (torch.zeros(2, *row),), name=name)
    parameters = {key: value.double().numpy() for key, value in traced.parameters.items()}
    return Network(module, traced.plan, parameters, row)
