"""Single encrypted operations at sizes that other systems are measured at, each a plan of its own."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import nn

from gridward.bench.inference import measure_case
from gridward.bench.measure import Options, Result
from gridward.bench.networks import SEED, Network, of_module

ELEMENTS: Final = 1_000_000
SIDE: Final = 1024


class Rectified(nn.Module):
    """ReLU of values of both signs: inputs are drawn from [0, 1), and a public half moves them."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the layer."""
        return torch.relu(x - 0.5)


class Scaled(nn.Module):
    """A product that has to be truncated, by a public factor with all its fraction bits set."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the layer."""
        return x * 0.7


@dataclass(frozen=True, slots=True)
class Operation:
    """A module, the shape of its rows, how many rows, and what it is in words."""

    make: Callable[[], nn.Module]
    row: tuple[int, ...]
    batch: int
    words: str


OPERATIONS: Final = {
    "relu": Operation(Rectified, (ELEMENTS,), 1, "ReLU of 1e6 values"),
    "truncation": Operation(
        Scaled, (ELEMENTS,), 1, "product with a public factor and faithful truncation, 1e6 values"
    ),
    "matmul": Operation(
        lambda: nn.Linear(SIDE, SIDE, bias=False),
        (SIDE,),
        SIDE,
        "secret 1024^3 matrix product with a deployed operand, and faithful truncation",
    ),
}


def run(options: Options) -> Iterator[Result]:
    """Measure the chosen operation, or all."""
    for name, operation in OPERATIONS.items():
        if options.operation in (name, "all"):
            yield measure(name, operation, options)


def measure(name: str, operation: Operation, options: Options) -> Result:
    """Measure one operation as a network of one layer."""
    case = {"operation": name, "what": operation.words}
    return measure_case(network_of(name, operation), case, replace(options, batch=operation.batch))


def network_of(name: str, operation: Operation) -> Network:
    """Make the network of one layer, with seeded weights where it has any."""
    torch.manual_seed(SEED)
    return of_module(operation.make().eval(), operation.row, name)
