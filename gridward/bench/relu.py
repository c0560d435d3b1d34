"""One secure ReLU layer, with all parties in this process."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from torch import nn

from gridward.bench.measure import Options, Result, require
from gridward.bench.mesh import Mesh, phases
from gridward.bench.networks import SEED, of_module
from gridward.core.smpc.compile import compile_plan

ELEMENTS: Final = (1_024, 4_704, 65_536, 1_000_000)
"""A small layer, the first layer of LeNet for one image, and one of a batch."""


def run(options: Options) -> Iterator[Result]:
    """Measure every size; each answer is compared with ReLU in the clear, exactly."""
    for elements in ELEMENTS:
        yield measure_layer(elements, options.parties, options.repeat)


def measure_layer(elements: int, parties: int, repeat: int) -> Result:
    """Compare and time one layer; raises ``WrongResultError`` where an answer is not exact."""
    network = of_module(nn.ReLU(), (elements,), "relu")
    program = compile_plan(network.plan, batch=1, parties=parties)
    rng = np.random.default_rng(SEED)
    # multiples of 2^-16 in the range of fixed-point numbers: encoding them loses nothing
    x = rng.integers(-(2**30), 2**30, (1, elements)) / 2.0**program.fraction_bits
    with Mesh(program, {}) as mesh:
        queries = [mesh.ask(x, serial) for serial in range(repeat + 1)]
    exact = all(np.array_equal(query.output, np.maximum(x, 0)) for query in queries)
    require(exact, f"the secure ReLU of {elements} elements is not ReLU")
    measured = phases(queries[1:])
    median = measured["online_s"]["median"]
    return Result(
        {"elements": elements, "parties": parties, "link": "process"},
        {"elements_per_s": elements / median, **measured},
    )
