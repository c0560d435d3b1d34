"""Encrypted inference of a network: in this process, as processes, or through the SDK over nodes."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from gridward.bench import cores, served
from gridward.bench.live import live_bytes
from gridward.bench.measure import Line, Options, Result, peak_rss_bytes, require
from gridward.bench.mesh import Mesh, Query, phases, require_as_stated
from gridward.bench.networks import Network, network
from gridward.bench.seats import Seats
from gridward.bench.shaping import ARRIVAL, CONDITIONS
from gridward.bench.streams import LENGTH
from gridward.core.smpc.compile import compile_plan
from gridward.core.smpc.fixed_reference import evaluate, truncation_masks
from gridward.core.smpc.kernels import cpu
from gridward.core.smpc.program import Program

TOLERANCE: Final = 0.01
"""Far above what 16 fraction bits lose on these networks: a larger error is a wrong answer."""
LOCAL: Final = ("process", "sockets")


def run(options: Options) -> Iterator[Result]:
    """Measure the chosen case."""
    yield measure_case(network(options.model), {"model": options.model}, options)


def measure_case(asked: Network, named: Line, options: Options) -> Result:
    """Measure one network; raises ``WrongResultError`` where an answer is not right."""
    measured = without_nodes(asked, options) if options.link in LOCAL else served.ask(asked, options)
    error = measured["max_abs_err"]
    require(error < TOLERANCE, f"an encrypted answer is {error:.3g} from the one in the clear")
    return Result(named | _case(options), measured)


def _case(options: Options) -> Line:
    case: Line = {
        "batch": options.batch,
        "parties": options.parties,
        "link": options.link,
        "device": options.device,
    }
    if options.link == "process":
        case["threads"] = "the parties are threads of one process"
    else:
        case |= cores.as_line(options.parties, options.threads)
    conditions = CONDITIONS[options.network]
    how = "in the link between parties" if options.link in LOCAL else "by a relay between network namespaces"
    return case | {"network": conditions.as_line(how) if conditions else "this machine"}


def without_nodes(asked: Network, options: Options) -> Line:
    """Run the parties here, without HTTP, and compare every answer with the fixed-point reference exactly."""
    program = compile_plan(asked.plan, batch=options.batch, parties=options.parties)
    inputs = [asked.inputs(options.batch, seed) for seed in range(options.repeat + 1)]
    conditions = CONDITIONS[options.network]
    prefix = LENGTH.size + (ARRIVAL.size if conditions else 0)
    with (
        Mesh(program, asked.parameters, conditions)
        if options.link == "process"
        else Seats(program, asked.parameters, conditions, options.threads)
    ) as parties:
        queries = [parties.ask(x.double().numpy(), serial) for serial, x in enumerate(inputs)]
    for query, x in zip(queries, inputs, strict=True):
        require_as_stated(program, query, prefix)
        masks = truncation_masks(program, query.packets)
        clear = evaluate(program, asked.parameters, x.double().numpy(), masks, cpu)
        require(np.array_equal(query.output, clear), "an answer is not the fixed-point reference's")
    errors = [
        np.abs(query.output - asked.in_the_clear(x)).max() for query, x in zip(queries, inputs, strict=True)
    ]
    return {
        **phases(queries[1:]),
        "max_abs_err": float(max(errors)),
        "max_abs_err_fixed": 0.0,
        **_memory(program, queries[-1]),
    }


def _memory(program: Program, query: Query) -> Line:
    if not query.rss_bytes:
        return {"peak_rss_bytes": {"all": peak_rss_bytes()}}
    start, peak = max(query.rss_bytes, key=lambda pair: pair[1])
    return memory_of_a_party(program, start, peak) | {"peak_rss_bytes": {"party": peak}}


def memory_of_a_party(program: Program, start: int, peak: int) -> Line:
    """Compare a party's peak with parameters and live activations: all of it, and what it grew by."""
    needed = live_bytes(program)
    stated = program.costs.memory.running_bytes
    return {
        "live_bytes": needed,
        "stated_bytes": stated,
        "stated_over_live": stated / needed,
        "start_rss_bytes": start,
        "peak_over_live": peak / needed,
        "growth_over_live": (peak - start) / needed,
    }
