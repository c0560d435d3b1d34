"""Encrypted inference of a network: in this process, or through the SDK over node processes."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from gridward.bench import served
from gridward.bench.measure import Line, Options, Result, peak_rss_bytes, require
from gridward.bench.mesh import Mesh, phases
from gridward.bench.networks import Network, network
from gridward.core.smpc.compile import compile_plan

TOLERANCE: Final = 0.01
"""Far above what 16 fraction bits lose on these networks: a larger error is a wrong answer."""


def run(options: Options) -> Iterator[Result]:
    """Measure the chosen case."""
    asked = network(options.model)
    measured = _in_process(asked, options) if options.link == "process" else served.ask(asked, options)
    error = measured["max_abs_err"]
    require(error < TOLERANCE, f"an encrypted answer is {error:.3g} from the one in the clear")
    yield Result(
        {
            "model": options.model,
            "batch": options.batch,
            "parties": options.parties,
            "link": options.link,
            "device": "cpu",
        },
        measured,
    )


def _in_process(asked: Network, options: Options) -> Line:
    program = compile_plan(asked.plan, batch=options.batch, parties=options.parties)
    inputs = [asked.inputs(options.batch, seed) for seed in range(options.repeat + 1)]
    with Mesh(program, asked.parameters) as mesh:
        queries = [mesh.ask(x.double().numpy(), serial) for serial, x in enumerate(inputs)]
    clear = [asked.in_the_clear(x) for x in inputs]
    errors = [np.abs(query.output - y).max() for query, y in zip(queries, clear, strict=True)]
    return {
        **phases(queries[1:]),
        "max_abs_err": float(max(errors)),
        "peak_rss_bytes": {"all": peak_rss_bytes()},
    }
