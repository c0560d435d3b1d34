"""Widths of a measured network: full, or from samples as its owner would take them, perhaps guarded."""

from typing import Final

from gridward.bench.measure import Options
from gridward.bench.networks import Network
from gridward.client.ranges import Ranges, widths_of
from gridward.core.smpc.compile import compile_plan
from gridward.core.smpc.kernels import cpu
from gridward.core.smpc.program import Program

FULL: Final = "full"
SAMPLES: Final = 16
SAMPLE_SEED: Final = 1 << 20
"""Not among the seeds of the queries that are measured."""
PIXELS: Final = (0.0, 1.0)


def ranges_of(network: Network, options: Options) -> Ranges:
    """Give what the owner says of the network's values."""
    if options.widths == FULL:
        return Ranges()
    samples = network.inputs(SAMPLES, SAMPLE_SEED)
    return Ranges(input=PIXELS, calibrate=samples, guard=options.widths == "guarded")


def compiled(network: Network, options: Options) -> Program:
    """Compile the network for parties without nodes."""
    ranges = ranges_of(network, options)
    return compile_plan(
        network.plan,
        batch=options.batch,
        parties=options.parties,
        levels=options.levels,
        input_range=ranges.input,
        widths=widths_of(network.plan, network.parameters, ranges, cpu),
        guard=ranges.guard,
    )
