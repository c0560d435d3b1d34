"""How long ordinary requests take at a party while it runs encrypted queries, asked by another process."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Final

import gridward as gw
from gridward.bench.callers import measure_calls
from gridward.bench.grid import SCIENTIST, RunningGrid, running_grid
from gridward.bench.measure import Line, Options, Result, require
from gridward.bench.networks import network
from gridward.bench.served import MODEL, party_name, serve, settings_of

CALLERS: Final = (1, 4)
REQUESTS: Final = 200
PARTIES: Final = 2
STOP_S: Final = 60.0
LIMIT_S: Final = 0.1
BRIEF: Final = (
    "callers",
    "encrypted_queries_at_once",
    "requests_per_s",
    "latency_s",
    "p99_s",
    "p99_below_100_ms",
    "answered_per_s",
    "refused_as_busy",
)


@dataclass(frozen=True, slots=True)
class Asking:
    """What a process that asks all the time needs to know."""

    gateway_url: str
    password: str
    model: str
    queries: int


def run(options: Options) -> Iterator[Result]:
    """Measure a party that is idle, then the same one under ``queries`` encrypted queries at once."""
    asked = network(options.model)
    with running_grid(settings_of(PARTIES, bundles_ahead=64, direct=True)) as grid:
        serve(grid, asked, PARTIES)
        for callers in CALLERS:
            yield _measure(grid, options, callers, 0)
        for callers in CALLERS:
            with under_load(Asking(grid.gateway_url, grid.password, options.model, options.queries)) as told:
                result = _measure(grid, options, callers, options.queries)
            yield replace(result, measured=result.measured | told)


def _measure(grid: RunningGrid, options: Options, callers: int, queries: int) -> Result:
    party = grid.owners[party_name(0)]
    case: Line = {
        "call": "GET /v1/node of a party",
        "callers": callers,
        "encrypted_queries_at_once": queries,
        "model": options.model,
    }
    measured = measure_calls(party.describe, callers, REQUESTS, options.repeat)
    p99_s = measured["latency_s"]["p99"]
    return Result(case, measured | {"p99_s": p99_s, "p99_below_100_ms": p99_s < LIMIT_S}, BRIEF)


@contextmanager
def under_load(asking: Asking) -> Iterator[Line]:
    """Have another process ask all the time within the block; what it did is told when the block ends."""
    told: Line = {}
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=keep_asking, args=(asking, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        require(ours.poll(STOP_S) and ours.recv() is None, "the process that asks did not start")
        yield told
        ours.send(None)
        require(ours.poll(STOP_S), "the process that asks did not end")
        answered, refused, seconds = ours.recv()
        require(answered > 0, "no encrypted query was answered meanwhile")
        told |= {"answered_per_s": answered / seconds, "answered": answered, "refused_as_busy": refused}
    finally:
        ours.close()
        process.join(STOP_S)
        if process.is_alive():
            process.kill()


def keep_asking(asking: Asking, control: Connection) -> None:
    """Ask from ``queries`` threads until told to stop; say how many were answered, refused, in what time."""
    x = network(asking.model).inputs(1, seed=0)
    with gw.network(asking.gateway_url, username=SCIENTIST, password=asking.password) as grid:
        grid.ask_encrypted(MODEL, x)
        control.send(None)
        began = time.perf_counter()

        def ask(_: int) -> tuple[int, int]:
            answered = refused = 0
            while not control.poll():
                try:
                    grid.ask_encrypted(MODEL, x)
                    answered += 1
                except gw.BusyError:
                    refused += 1
            return answered, refused

        with ThreadPoolExecutor(asking.queries) as pool:
            counts = list(pool.map(ask, range(asking.queries)))
        seconds = time.perf_counter() - began
        control.send((sum(ok for ok, _ in counts), sum(busy for _, busy in counts), seconds))
