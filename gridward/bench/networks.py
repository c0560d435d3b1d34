"""The networks that are measured, with seeded random weights, so that anyone can repeat a line."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from gridward.bench.encoder import EncoderBlock
from gridward.core.plans.plan import Plan
from gridward.core.plans.trace import trace_module

SEED = 20


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
    """Make `mlp` or `lenet` for 28 x 28 images and 10 classes, or `transformer`, one encoder block."""
    torch.manual_seed(SEED)
    module, row = _MAKERS[name]()
    return of_module(module.eval(), row, name)


def of_module(module: nn.Module, row: tuple[int, ...], name: str) -> Network:
    """Trace a module that takes rows of one shape."""
    traced = trace_module(module, (torch.zeros(2, *row),), name=name)
    parameters = {key: value.double().numpy() for key, value in traced.parameters.items()}
    return Network(module, traced.plan, parameters, row)


def _mlp() -> tuple[nn.Module, tuple[int, ...]]:
    """784-128-128-10 with ReLU (the network of Mohassel & Zhang 2017): 118,282 parameters."""
    layers = (nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))
    return nn.Sequential(*layers), (784,)


def _lenet() -> tuple[nn.Module, tuple[int, ...]]:
    """LeNet-5 with ReLU and max-pooling (LeCun et al. 1998): 61,706 parameters."""
    features = (
        *(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
    )
    head = (nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10))
    return nn.Sequential(*features, nn.Flatten(), *head), (1, 28, 28)


def _transformer() -> tuple[nn.Module, tuple[int, ...]]:
    """One encoder block over 16 tokens of 64 numbers, 4 heads, 256 hidden: 49,984 parameters."""
    return EncoderBlock(64, 4, 256), (16, 64)


_MAKERS = {"mlp": _mlp, "lenet": _lenet, "transformer": _transformer}
