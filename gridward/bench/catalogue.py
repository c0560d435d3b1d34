"""The closed list of benchmarks: what each measures, its options, and the module whose ``run`` it is."""

from dataclasses import dataclass
from typing import Any, Final

from gridward.bench.measure import Options


@dataclass(frozen=True, slots=True)
class Flag:
    """An option of the command line: one of ``choices``, a file, or a number from ``low`` to ``high``."""

    name: str
    help: str
    choices: tuple[str, ...] = ()
    low: int = 1
    high: int = 2**20
    file: bool = False


@dataclass(frozen=True, slots=True)
class Bench:
    """One benchmark. ``defaults`` names the options that it reads; all others are refused."""

    summary: str
    module: str
    defaults: dict[str, Any]


FLAGS: Final = {
    flag.name: flag
    for flag in (
        Flag("repeat", "counted runs of each case, after a warm-up", high=10_000),
        Flag(
            "model",
            "network with seeded random weights",
            choices=("mlp", "lenet", "vgg16", "alexnet", "resnet18", "resnet50", "transformer"),
        ),
        Flag("batch", "rows of one query", high=1024),
        Flag("parties", "computing parties", low=2, high=5),
        Flag(
            "link",
            "threads of one process, processes over plain local sockets, or nodes through the SDK",
            choices=("process", "sockets", "ws", "tls"),
        ),
        Flag("network", "simulated between the parties: delay and rate", choices=("none", "lan", "wan")),
        Flag("device", "what computes", choices=("cpu",)),
        Flag(
            "widths",
            "of compared values: all alike, or by 16 samples and 2 bits of margin, or guarded besides",
            choices=("full", "calibrated", "guarded"),
        ),
        Flag("levels", "of a comparison's merging, without nodes; with nodes they are chosen", high=2),
        Flag("operation", "which one; all if not said", choices=("all", "relu", "truncation", "matmul")),
        Flag("threads", "cores and threads of one party, or torch's where torch is compared", high=1024),
        Flag(
            "tune", "where to write this machine's paces, for a node's data folder; none if empty", file=True
        ),
        Flag("nodes", "nodes of the grid", high=1000),
        Flag("datasets", "datasets that each node lists", high=10_000),
        Flag("requests", "requests in the queue", high=100_000),
        Flag("queries", "encrypted queries that run all the time, side by side", high=64),
    )
}

BENCHES: Final = {
    "ring-matmul": Bench(
        "products modulo 2^64: the core's kernel against torch and NumPy, at the shapes of LeNet and 512",
        "gridward.bench.ring_matmul",
        {"repeat": 7, "threads": 1, "tune": ""},
    ),
    "relu": Bench(
        "one secure ReLU layer, all parties in this process: elements a second, rounds, bytes",
        "gridward.bench.relu",
        {"repeat": 5, "parties": 2},
    ),
    "inference": Bench(
        "encrypted inference: online and offline seconds, rounds, bytes, error against float, memory",
        "gridward.bench.inference",
        {
            "repeat": 5,
            "model": "lenet",
            "batch": 1,
            "parties": 2,
            "link": "process",
            "network": "none",
            "device": "cpu",
            "widths": "full",
            "levels": 2,
            "threads": 1,
        },
    ),
    "operation": Bench(
        "one encrypted operation for itself: ReLU or truncated product of 1e6, a product of 1024^3",
        "gridward.bench.operations",
        {
            "repeat": 5,
            "operation": "all",
            "parties": 2,
            "link": "process",
            "network": "none",
            "device": "cpu",
            "threads": 1,
        },
    ),
    "reach": Bench(
        "every figure that was set as a goal, through the SDK, beside the best that is known of others",
        "gridward.bench.reach",
        {"repeat": 9, "link": "tls", "threads": 1},
    ),
    "api-under-load": Bench(
        "latency of ordinary requests at a party that runs encrypted queries meanwhile",
        "gridward.bench.load",
        {"repeat": 3, "model": "lenet", "queries": 4},
    ),
    "curves": Bench(
        "errors of smooth functions on shares against float64, over the declared range by decades",
        "gridward.bench.curves",
        {},
    ),
    "plan": Bench(
        "a network as a plan in the plain executor against torch: overhead of a step",
        "gridward.bench.plan",
        {"repeat": 7, "model": "mlp", "batch": 1, "threads": 1},
    ),
    "api": Bench(
        "requests a second of a node process: its public facts, and a mean computed on data",
        "gridward.bench.api",
        {"repeat": 3},
    ),
    "search": Bench(
        "requests a second of a gateway process that lists many datasets of many nodes",
        "gridward.bench.search",
        {"repeat": 3, "nodes": 50, "datasets": 100},
    ),
    "rules": Bench(
        "decisions on access over 1,000 rules: by the engine alone, and with rules looked up in SQLite",
        "gridward.bench.rules",
        {"repeat": 3},
    ),
    "queue": Bench(
        "the page of requests that wait, of a node process that has many",
        "gridward.bench.queue",
        {"repeat": 3, "requests": 10_000},
    ),
    "federated": Bench(
        "a round of federated averaging over node processes: seconds, updates a second",
        "gridward.bench.federated",
        {"repeat": 3, "model": "lenet", "nodes": 2},
    ),
    "secure-aggregation": Bench(
        "a sum of updates of 1e6 parameters: a node's processor seconds, bytes over the plain update",
        "gridward.bench.secure_aggregation",
        {"repeat": 9, "nodes": 10},
    ),
}


def options_of(bench: Bench, given: dict[str, Any]) -> Options:
    """Fill in the defaults of a benchmark."""
    return Options(**(bench.defaults | given))
