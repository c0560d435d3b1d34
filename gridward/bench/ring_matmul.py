"""Products modulo 2^64 as the gates ask for them: the core's kernel, torch's int64 product, NumPy's."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from gridward.bench.measure import Line, Options, Result, require, seconds_a_call, summary
from gridward.core.smpc.kernels import cpu, reference
from gridward.core.smpc.ring import RingArray

SEED: Final = 20


@dataclass(frozen=True, slots=True)
class Shape:
    """(m, k) times (k, n). A linear layer's weight is stored (n, k) and passed as its transpose."""

    layer: str
    m: int
    k: int
    n: int
    transposed: bool = False

    def operands(self, rng: np.random.Generator) -> tuple[RingArray, RingArray]:
        """Draw uniform words, laid out as the gates lay them out."""
        left = rng.integers(0, 2**64, (self.m, self.k), dtype=np.uint64)
        if self.transposed:
            return left, rng.integers(0, 2**64, (self.n, self.k), dtype=np.uint64).T
        return left, rng.integers(0, 2**64, (self.k, self.n), dtype=np.uint64)


SHAPES: Final = (
    Shape("lenet conv1", 20, 25, 576),
    Shape("lenet conv2", 50, 500, 64),
    Shape("lenet fc1", 1, 800, 500, transposed=True),
    Shape("lenet fc2", 1, 500, 10, transposed=True),
    Shape("square", 512, 512, 512),
)


def run(options: Options) -> Iterator[Result]:
    """Measure every shape; the three products are compared word for word first."""
    torch.set_num_threads(options.threads)
    rng = np.random.default_rng(SEED)
    for shape in SHAPES:
        yield measure_shape(shape, *shape.operands(rng), options.repeat, options.threads)


def measure_shape(shape: Shape, left: RingArray, right: RingArray, repeat: int, threads: int) -> Result:
    """Compare and time one shape; raises ``WrongResultError`` where the products differ."""
    signed = torch.from_numpy(left.view(np.int64)), torch.from_numpy(right.view(np.int64))
    products: dict[str, Callable[[], RingArray]] = {
        "kernel": lambda: cpu.matmul(left, right),
        "torch": lambda: np.asarray(torch.matmul(*signed).numpy()).view(np.uint64),
        "numpy": lambda: reference.matmul(left, right),
    }
    require_equal(shape.layer, {name: product() for name, product in products.items()})
    times = {name: summary(seconds_a_call(product, repeat)) for name, product in products.items()}
    macs = shape.m * shape.k * shape.n
    measured: Line = {f"{name}_s": times[name] for name in products}
    measured |= {f"{name}_gmac_per_s": macs / times[name]["median"] / 1e9 for name in products}
    kernel = times["kernel"]["median"]
    measured |= {f"speed_against_{name}": times[name]["median"] / kernel for name in ("torch", "numpy")}
    case = {"layer": shape.layer, "m": shape.m, "k": shape.k, "n": shape.n, "torch_threads": threads}
    return Result(case, measured)


def require_equal(what: str, products: dict[str, RingArray]) -> None:
    """Compare all products with the first; raises ``WrongResultError`` naming the one that differs."""
    first, *others = products
    for name in others:
        require(
            np.array_equal(products[first], products[name]),
            f"{what}: {name} gives another product than {first}",
        )
