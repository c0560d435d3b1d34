"""Encrypted inference as users have it: the SDK, a gateway, a host, parties and a provider, all processes."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import torch

import gridward as gw
from gridward.bench import cores, traffic
from gridward.bench.dealing import Dealt, asking
from gridward.bench.grid import RunningGrid, running_grid, wait_until
from gridward.bench.live import live_bytes
from gridward.bench.measure import (
    Line,
    Options,
    peak_rss_bytes_of,
    require,
    reset_peak,
    rss_bytes_of,
    summary,
    timed,
)
from gridward.bench.networks import Network
from gridward.bench.shaping import CONDITIONS
from gridward.core.schemas.deployments import DeploymentDocument, DeploymentOut
from gridward.core.smpc.bundles import join_pool
from gridward.core.smpc.compile import compile_plan
from gridward.core.smpc.dealer import Dealer
from gridward.core.smpc.deployment import DeployedModel
from gridward.core.smpc.fixed_reference import evaluate
from gridward.core.smpc.kernels import cpu
from gridward.core.smpc.party import prepare
from gridward.core.smpc.prg import KEY_BYTES
from gridward.core.smpc.program import Program
from gridward.server.keys import load

MODEL: Final = "measured"
POOL_BYTES: Final = 1 << 36
WHOLE_QUERIES: Final = 3
SOCKET_SLACK: Final = 0.02
FRAMING_BYTES: Final = 64
"""At most what WebSocket or TLS, and the length of a frame, add to one message."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The counted queries: seconds from the SDK's call to its answer, errors, and what was counted.

    ``seconds`` of queries that were opened ahead, ``whole_seconds`` of others, in which a call opens its own.
    ``socket_bytes``: what the busiest party's sockets sent to its peers in one query, by the kernel's count.
    """

    seconds: list[float]
    whole_seconds: list[float]
    max_abs_err: float
    max_abs_err_fixed: float
    rounds: int
    sent_bytes: int
    socket_bytes: float | None


@dataclass(frozen=True, slots=True)
class Offline:
    """The work before a query, apart: asking the provider, loading at a party, the dealer's own computing."""

    fetch_s: list[float]
    load_s: list[float]
    dealer_s: list[float]
    dealer_bytes: int

    def as_line(self) -> Line:
        """Offline is fetching, in which the provider deals, and loading."""
        both = [fetch + loading for fetch, loading in zip(self.fetch_s, self.load_s, strict=True)]
        return {
            "offline_s": summary(both),
            "fetch_s": summary(self.fetch_s),
            "load_s": summary(self.load_s),
            "dealer_s": summary(self.dealer_s),
        }


def ask(network: Network, options: Options) -> Line:
    """Serve the network encrypted and ask it.

    Parties fetch bundles ahead, as nodes do. Here they do so before the counted queries, and are then started
    anew to fetch none meanwhile: no time has dealing in it. ``online_s`` is that of queries which were opened
    ahead of the call (``prepared_queries``); ``whole_s`` that of a call which first opens its query: leave of
    the host, a bundle spent and loaded at each party.
    """
    conditions = CONDITIONS[options.network]
    settings = settings_of(options.parties, _bundles(options), direct=options.link == "tls")
    with cores.thread_pools(options.threads), running_grid(settings, conditions) as grid:
        serve(grid, network, options.parties)
        _require_link(grid, options.link)
        program = _program(grid, network, options)
        _stock_up(grid, network, options)
        _pin(grid, options)
        starts = _sizes(grid, options.parties, rss_bytes_of)
        for pid in _pids(grid, list(settings)):
            reset_peak(pid)
        asked = _ask(grid, network, program, options)
        peaks = _sizes(grid, options.parties, peak_rss_bytes_of)
        offline = _prepare(grid, program, options)
    _require_as_stated(asked, offline, program)
    return {
        "online_s": summary(asked.seconds[1:]),
        "whole_s": summary(asked.whole_seconds),
        "levels": program.levels,
        **offline.as_line(),
        "rounds": asked.rounds,
        "online_bytes_per_party": asked.sent_bytes // options.parties,
        "socket_bytes_per_party": asked.socket_bytes
        or "not counted: connections did not last from the first query to the last",
        "dealer_bytes": offline.dealer_bytes,
        "max_abs_err": asked.max_abs_err,
        "max_abs_err_fixed": asked.max_abs_err_fixed,
        "live_bytes": live_bytes(program),
        "stated_bytes": program.costs.memory.running_bytes,
        "stated_over_live": program.costs.memory.running_bytes / live_bytes(program),
        "start_rss_bytes": starts,
        "peak_rss_bytes": peaks,
        "peak_over_live": peaks["party"] / live_bytes(program),
        "growth_over_live": (peaks["party"] - starts["party"]) / live_bytes(program),
    }


def _bundles(options: Options) -> int:
    """Give how many bundles the queries take: one to begin with, and one that is opened ahead in vain."""
    return options.repeat + 3 + _whole(options)


def _whole(options: Options) -> int:
    return min(options.repeat, WHOLE_QUERIES)


def _program(grid: RunningGrid, network: Network, options: Options) -> Program:
    """Compile as the deployment says."""
    return compile_plan(
        network.plan, batch=options.batch, parties=options.parties, levels=_document(grid).levels
    )


def party_name(at: int) -> str:
    """Name the node of a party."""
    return f"party-{at}"


def settings_of(parties: int, bundles_ahead: int, *, direct: bool) -> dict[str, dict[str, object]]:
    """Give the settings of a host, a provider and ``parties``; ``direct`` links these by TLS sockets."""
    party: dict[str, object] = {
        **({"lane_port": 0} if direct else {}),
        "offer_party": True,
        "bundles_ahead": bundles_ahead,
        "bundles_ahead_bytes": POOL_BYTES,
        "party_timeout_s": 300,
    }
    return {
        "host": {},
        "provider": {"offer_provider": True, "bundles_waiting": 10_000, "bundles_dealt_ahead": 0},
        **{party_name(at): dict(party) for at in range(parties)},
    }


def serve(grid: RunningGrid, network: Network, parties: int) -> None:
    """Serve the network encrypted, and wait until it is found."""
    grid.owners["host"].serve_model(
        network.module,
        MODEL,
        network.inputs(1, seed=0),
        mpc=True,
        parties=[party_name(at) for at in range(parties)],
        crypto_provider="provider",
        allow_remote_inference=True,
    )
    wait_until(lambda: _is_found(grid), "the gateway to learn of the model")


def _require_link(grid: RunningGrid, link: str) -> None:
    told = grid.scientist.describe_model(MODEL)
    wanted = {"ws": "websocket", "tls": "tls"}[link]
    linked = set(told.lanes) if isinstance(told, gw.EncryptedModel) else set()
    require(linked == {wanted}, f"the parties are linked by {linked}, not by {wanted}")


def _is_found(grid: RunningGrid) -> bool:
    try:
        grid.scientist.describe_model(MODEL)
    except gw.ObjectNotFoundError:
        return False
    return True


def _stock_up(grid: RunningGrid, network: Network, options: Options) -> None:
    """Ask once, which makes the parties fetch enough bundles, one of which it may use; then no more."""
    count = _bundles(options) - 1
    grid.scientist.ask_encrypted(MODEL, network.inputs(options.batch, seed=0))
    servers = [grid.servers[party_name(at)] for at in range(options.parties)]
    pools = [
        join_pool(folder)
        for server in servers
        for folder in (server.folder / "data" / "parties").glob("*/bundles")
    ]
    wait_until(
        lambda: min(len(pool.held().get(options.batch, {})) for pool in pools) >= count,
        f"{count} bundles at every party",
    )
    for server in servers:
        server.stop()
        server.environment["GRIDWARD_BUNDLES_AHEAD"] = "0"
        server.spawn()
    for server in servers:
        server.wait()


def _pids(grid: RunningGrid, names: Sequence[str]) -> list[int]:
    running = [grid.servers[name].process for name in names]
    return [process.pid for process in running if process is not None]


def _parties(grid: RunningGrid, parties: int) -> list[int]:
    return _pids(grid, [party_name(at) for at in range(parties)])


def _pin(grid: RunningGrid, options: Options) -> None:
    own = cores.places(options.parties, options.threads)
    for at, pid in enumerate(_parties(grid, options.parties)):
        if own is not None:
            cores.pin(pid, own[at])


def _ask(grid: RunningGrid, network: Network, program: Program, options: Options) -> Asked:
    pids = _parties(grid, options.parties)
    seconds, errors, off, rounds, sent = [], [], [], 0, 0
    before: dict[tuple[int, str, str], int] = {}
    with grid.scientist.prepared_queries(MODEL, batch=options.batch) as query:
        for seed in range(options.repeat + 1):
            x: torch.Tensor = network.inputs(options.batch, seed)
            wait_until(lambda: query.ready == 1, "a query to be open")
            answer, took = timed(partial(query, x))
            seconds.append(took)
            output = answer.output.double().numpy()
            errors.append(np.abs(output - network.in_the_clear(x)).max())
            clear = evaluate(program, network.parameters, x.double().numpy(), kernels=cpu)
            off.append(np.abs(output - clear).max())
            rounds, sent = answer.rounds, answer.sent_bytes
            before = before or traffic.seen(pids)
        counted = traffic.most_sent(before, traffic.seen(pids))
    return Asked(
        seconds,
        [timed(partial(grid.scientist.ask_encrypted, MODEL, x))[1] for _ in range(_whole(options))],
        float(max(errors)),
        float(max(off)),
        rounds,
        sent,
        None if counted is None else counted / options.repeat,
    )


def _document(grid: RunningGrid) -> DeploymentDocument:
    path = f"/v1/models/{MODEL}/deployment"
    return grid.owners["host"].transport.fetch(DeploymentOut, "GET", path).document


def _prepare(grid: RunningGrid, program: Program, options: Options) -> Offline:
    """Do the work before a query apart: the real provider, then this process in place of a party.

    Loading uses a party's own stored model and the provider's packets; it runs here, where it can be timed.
    """
    document = _document(grid)
    folders = [grid.servers[party_name(at)].folder / "data" for at in range(options.parties)]
    with asking(document, [load(folder) for folder in folders]) as bundles:
        dealt = [bundles.take(options.batch, number) for number in range(options.repeat + 1)]
    with (folders[0] / "parties" / document.id / "model").open("rb") as stored:
        model = DeployedModel.read_from(program, 0, stored)
    loading = [timed(partial(prepare, program, model, one.packets[0]))[1] for one in dealt]
    return Offline(
        [one.seconds for one in dealt[1:]], loading[1:], _dealing(program, options.repeat), _size(dealt[-1])
    )


def _size(one: Dealt) -> int:
    return sum(map(len, one.packets))


def _dealing(program: Program, repeat: int) -> list[float]:
    dealer = Dealer(program, secrets.token_bytes(KEY_BYTES))
    return [timed(lambda: dealer.deal_query(secrets.token_bytes, 0))[1] for _ in range(repeat + 1)][1:]


def _require_as_stated(asked: Asked, offline: Offline, program: Program) -> None:
    costs = program.costs
    for what, counted, stated in (
        ("rounds", asked.rounds, costs.rounds),
        ("bytes online", asked.sent_bytes, program.parties * costs.online_bytes_per_party),
        ("bytes of the dealer", offline.dealer_bytes, costs.dealer_bytes),
    ):
        require(counted == stated, f"{counted} {what} where the program states {stated}")
    if asked.socket_bytes is not None:
        framing = FRAMING_BYTES * costs.rounds * (program.parties - 1)
        above = asked.socket_bytes - costs.online_bytes_per_party
        most = SOCKET_SLACK * costs.online_bytes_per_party + framing
        require(0 <= above <= most, f"the sockets sent {above:+,.0f} bytes a query beyond what was stated")


def _sizes(grid: RunningGrid, parties: int, size_of: Callable[[int], int | None]) -> Line:
    """Give the resident size of the largest party, the provider and the host."""

    def peak(*names: str) -> int:
        return max((size_of(pid) or 0 for pid in _pids(grid, names)), default=0)

    return {
        "party": peak(*(party_name(at) for at in range(parties))),
        "dealer": peak("provider"),
        "host": peak("host"),
    }
