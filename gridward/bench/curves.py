"""Errors of smooth functions on shares, against float64, over the whole declared range by decades.

The fixed-point reference answers what the parties would, bit for bit, given masks of a dealer; so no party is
needed. Each function stands before a layer of the identity: as inside a network, its roundings are coins.
"""

import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gridward.bench.measure import Options, Result
from gridward.core.plans.trace import trace_module
from gridward.core.smpc.compile import compile_plan
from gridward.core.smpc.dealer import Dealer
from gridward.core.smpc.fixed_reference import evaluate, truncation_masks
from gridward.core.smpc.kernels import cpu
from gridward.core.smpc.prg import KEY_BYTES

Reals = NDArray[np.float64]

FRACTION_BITS: Final = 16
END: Final = 2.0**15
"""Arguments and results lie between minus this and this, at the default width."""

STOP: Final = END * (1 - 2.0**-12)
_A_DECADE: Final = 2048


@dataclass(frozen=True, slots=True)
class Smooth:
    """A function, from where on it is defined, and its relative and absolute bound without roundings."""

    function: Callable[[Tensor], Tensor]
    least: float
    relative: float
    absolute: float


FUNCTIONS: Final[Mapping[str, Smooth]] = {
    "sigmoid": Smooth(torch.sigmoid, -END, 0.0, 2.7e-5),
    "tanh": Smooth(torch.tanh, -END, 0.0, 5.1e-5),
    "erf": Smooth(torch.erf, -END, 0.0, 1.8e-5),
    "gelu": Smooth(nn.functional.gelu, -END, 0.0, 5.3e-5),
    "exp": Smooth(lambda x: torch.exp(x).clamp(max=STOP), -END, 2.5e-5, 0.0),
    "reciprocal": Smooth(lambda x: (1 / x).clamp(-STOP, STOP), -END, 1.0e-5, 0.0),
    "sqrt": Smooth(torch.sqrt, 2.0**-FRACTION_BITS, 6e-6, 0.0),
    "rsqrt": Smooth(torch.rsqrt, 2.0**-FRACTION_BITS, 6e-6, 0.0),
    "log": Smooth(torch.log, 2.0**-FRACTION_BITS, 0.0, 8e-6),
}


class _Behind(nn.Module):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.layer = nn.Linear(1, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        plain = {"exp": torch.exp, "reciprocal": torch.reciprocal}
        made: Tensor = self.layer(plain.get(self.name, FUNCTIONS[self.name].function)(x))
        return made


def run(options: Options) -> Iterator[Result]:
    """Measure every function; times do not matter here."""
    for name in FUNCTIONS:
        yield Result(
            {"function": name, "fraction_bits": FRACTION_BITS, "range": END}, {"decades": decades(name)}
        )


def decades(name: str) -> list[dict[str, Any]]:
    """Give errors by decade of the argument, negative ones first: largest and mean, absolute and relative."""
    x, found, truth = errors(name)
    rows = []
    for sign in (-1, 1):
        for low in range(-5, 5):
            chosen = (sign * x >= 10.0**low) & (sign * x < 10.0 ** (low + 1))
            if np.any(chosen):
                off = np.abs(found - truth)[chosen]
                near = off / np.maximum(np.abs(truth[chosen]), 2.0**-FRACTION_BITS)
                rows.append(
                    {
                        "from": sign * 10.0**low,
                        "to": sign * 10.0 ** (low + 1),
                        "largest_absolute": float(off.max()),
                        "mean_absolute": float(off.mean()),
                        "largest_relative": float(near.max()),
                        "mean_relative": float(near.mean()),
                    }
                )
    return rows


def errors(name: str) -> tuple[Reals, Reals, Reals]:
    """Give arguments in order, what the parties would answer, and float64's answers."""
    x = _arguments(FUNCTIONS[name].least)
    traced = trace_module(_Behind(name).eval(), (torch.ones(2, 1),), name="curve")
    program = compile_plan(traced.plan, batch=len(x), parties=2, fraction_bits=FRACTION_BITS)
    packets = Dealer(program, secrets.token_bytes(KEY_BYTES)).deal_query(secrets.token_bytes, 0)
    identity = {"layer.weight": np.ones((1, 1))}
    found = evaluate(program, identity, x[:, None], truncation_masks(program, packets), cpu)
    truth = FUNCTIONS[name].function(torch.from_numpy(x))
    return x, found[:, 0], np.asarray(truth.numpy())


def _arguments(least: float) -> Reals:
    """Draw magnitudes evenly by decades, of both signs where there are two, and the ends of the range."""
    rng = np.random.default_rng(1)
    unit = 2.0**-FRACTION_BITS
    sizes = 10.0 ** rng.uniform(np.log10(unit), np.log10(END), 10 * _A_DECADE)
    sizes = np.maximum(np.floor(np.append(sizes, END - unit) / unit) * unit, unit)
    return np.unique(np.concatenate([-sizes, sizes]) if least < 0 else sizes)
