"""Small torch models, traced, for encrypted runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from gridward.core.plans.plan import Plan
from gridward.core.plans.trace import trace_module


@dataclass(frozen=True)
class Network:
    """A traced module with its parameters and an example input."""

    plan: Plan
    parameters: Mapping[str, NDArray[Any]]
    module: nn.Module
    example: torch.Tensor

    def eager(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Compute on torch in double precision."""
        with torch.no_grad():
            module = self.module.double()
            return module(torch.from_numpy(np.asarray(values, dtype=np.float64))).numpy()


class Residual(nn.Module):
    """Two convolutions with a skip, then an average over everything."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 3, padding=1, groups=2)
        self.last = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.relu(self.first(x))
        h = torch.relu(self.second(h) + h) * 0.75 - 0.125
        return self.last(torch.flatten(nn.functional.adaptive_avg_pool2d(h, 1), 1))


class Odd(nn.Module):
    """Strides, dilation, padding, a 3 x 3 pool with overlap, a 3 x 3 average, subtraction and negation."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 3, 3, stride=2, padding=2, dilation=2)
        self.last = nn.Linear(27, 4, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.relu(self.first(x))
        h = nn.functional.max_pool2d(h, 3, 2, 1)
        h = nn.functional.avg_pool2d(1 - h, 3, 1, 1)
        return -self.last(torch.flatten(h, 1))


def lenet() -> nn.Module:
    """LeNet-5 for 28 x 28 digits, with max-pools."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, 10),
    )


def averaging() -> nn.Module:
    """A small convolutional network with an average pool."""
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(36, 5))


def mlp() -> nn.Module:
    """Two hidden layers."""
    return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))


def linear() -> nn.Module:
    """The model of the design's first story: weights 2 and 4, bias 1000."""
    layer = nn.Linear(2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[2.0, 4.0]]))
        layer.bias.fill_(1000.0)
    return layer


MODULES: Final[dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]]] = {
    "linear": (linear, (2,)),
    "mlp": (mlp, (12,)),
    "averaging": (averaging, (1, 8, 8)),
    "residual": (Residual, (2, 6, 6)),
    "odd": (Odd, (1, 9, 9)),
    "lenet": (lenet, (1, 28, 28)),
}


def network(name: str, batch: int = 1) -> Network:
    """Make and trace one of ``MODULES``; always the same parameters and example."""
    make, shape = MODULES[name]
    with torch.random.fork_rng():
        torch.manual_seed(7)
        module = make().eval()
        example = torch.randn(batch, *shape)
    traced = trace_module(module, (example,), name=name)
    parameters = {key: value.detach().numpy() for key, value in traced.parameters.items()}
    return Network(traced.plan, parameters, module, example)
