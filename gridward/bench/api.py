"""A real node process under calls of the SDK: its public facts, and a mean computed on published data."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import torch

from gridward.bench.callers import measure_calls
from gridward.bench.grid import running_node
from gridward.bench.measure import Options, Result, require
from gridward.client.node import NodeClient

ROWS: Final = 10_000
SEED: Final = 20


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, by how many callers at once, how often in one run."""

    call: str
    callers: int
    requests: int


QUESTIONS: Final = (
    Question("GET /v1/node", callers=1, requests=200),
    Question("GET /v1/node", callers=8, requests=400),
    Question("mean().get()", callers=1, requests=40),
    Question("mean().get()", callers=4, requests=80),
)


def run(options: Options) -> Iterator[Result]:
    """Start a node, publish rows, and measure every question; the mean is compared with torch's first."""
    weight = torch.rand(ROWS, generator=torch.Generator().manual_seed(SEED), dtype=torch.float64)
    with running_node() as node:
        records = node.publish("records", {"weight": weight}, rows_are_entities=True)
        answer = records["weight"].mean().get()
        require(bool(torch.isclose(answer, weight.mean())), f"the mean is {answer}, not {weight.mean()}")
        calls: dict[str, Callable[[], object]] = {
            "GET /v1/node": node.describe,
            "mean().get()": lambda: records["weight"].mean().get(),
        }
        for asked in QUESTIONS:
            yield _measure(node, asked, calls[asked.call], options.repeat)


def _measure(node: NodeClient, asked: Question, call: Callable[[], object], repeat: int) -> Result:
    case = {"call": asked.call, "callers": asked.callers, "rows": ROWS if "mean" in asked.call else 0}
    return Result(case, measure_calls(call, asked.callers, asked.requests, repeat))
