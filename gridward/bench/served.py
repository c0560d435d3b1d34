"""Encrypted inference as users have it: the SDK, a gateway, a host, parties and a provider, all processes."""

import time
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

import gridward as gw
from gridward.bench.dealing import Dealt, asking
from gridward.bench.grid import RunningGrid, running_grid, wait_until
from gridward.bench.measure import Line, Options, peak_rss_bytes_of, require, summary
from gridward.bench.networks import Network
from gridward.core.schemas.deployments import DeploymentOut
from gridward.core.smpc.bundles import join_pool
from gridward.core.smpc.compile import compile_plan
from gridward.core.smpc.program import Costs
from gridward.server.keys import load

MODEL: Final = "measured"


@dataclass(frozen=True, slots=True)
class Asked:
    """The counted queries: seconds from the SDK's call to its answer, error, and what the answers say."""

    seconds: list[float]
    max_abs_err: float
    rounds: int
    sent_bytes: int


def ask(network: Network, options: Options) -> Line:
    """Serve the network encrypted and ask it.

    One row: parties fetch bundles ahead, as nodes do. Here they do so before the counted queries, and are
    then started anew to fetch none meanwhile: ``online_s`` has no dealing in it. Several rows: nodes deal
    when asked, so ``online_s`` contains ``dealer_s``. What a party computes from its packet is part of
    ``online_s`` in both. ``dealer_s`` is from the parties' calls at the provider until each has its packet.
    """
    costs = compile_plan(network.plan, batch=options.batch, parties=options.parties).costs
    ahead = options.batch == 1
    with running_grid(_settings(options.parties, options.repeat + 1 if ahead else 0)) as grid:
        _serve(grid, network, options.parties)
        if ahead:
            _stock_up(grid, network, options.parties, options.repeat + 1)
        asked = _ask(grid, network, options)
        dealt = _deal(grid, options)
        peaks = _peaks(grid, options.parties)
    _require_as_stated(asked, dealt, options.parties, costs)
    return {
        "online_s": summary(asked.seconds[1:]),
        "dealer_s": summary([one.seconds for one in dealt]),
        "bundles": "fetched ahead" if ahead else "dealt while the client waits",
        "rounds": asked.rounds,
        "online_bytes_per_party": asked.sent_bytes // options.parties,
        "dealer_bytes": dealt[-1].packet_bytes,
        "max_abs_err": asked.max_abs_err,
        "peak_rss_bytes": peaks,
    }


def _settings(parties: int, bundles_ahead: int) -> dict[str, dict[str, object]]:
    party = {"offer_party": True, "bundles_ahead": bundles_ahead}
    return {
        "host": {},
        "provider": {"offer_provider": True, "bundles_waiting": 10_000, "bundles_dealt_ahead": 0},
        **{_party(at): dict(party) for at in range(parties)},
    }


def _party(at: int) -> str:
    return f"party-{at}"


def _serve(grid: RunningGrid, network: Network, parties: int) -> None:
    grid.owners["host"].serve_model(
        network.module,
        MODEL,
        network.inputs(1, seed=0),
        mpc=True,
        parties=[_party(at) for at in range(parties)],
        crypto_provider="provider",
        allow_remote_inference=True,
    )
    wait_until(lambda: _is_found(grid), "the gateway to learn of the model")


def _is_found(grid: RunningGrid) -> bool:
    try:
        grid.scientist.describe_model(MODEL)
    except gw.ObjectNotFoundError:
        return False
    return True


def _stock_up(grid: RunningGrid, network: Network, parties: int, count: int) -> None:
    """Ask once, which makes the parties fetch ``count`` bundles; then have them fetch no more."""
    grid.scientist.ask_encrypted(MODEL, network.inputs(1, seed=0))
    servers = [grid.servers[_party(at)] for at in range(parties)]
    pools = [
        join_pool(folder)
        for server in servers
        for folder in (server.folder / "data" / "parties").glob("*/bundles")
    ]
    wait_until(lambda: min(pool.left for pool in pools) >= count, f"{count} bundles at every party")
    for server in servers:
        server.stop()
        server.environment["GRIDWARD_BUNDLES_AHEAD"] = "0"
        server.spawn()
    for server in servers:
        server.wait()


def _deal(grid: RunningGrid, options: Options) -> list[Dealt]:
    path = f"/v1/models/{MODEL}/deployment"
    document = grid.owners["host"].transport.fetch(DeploymentOut, "GET", path).document
    parties = [load(grid.servers[_party(at)].folder / "data") for at in range(options.parties)]
    with asking(document, parties) as bundles:
        return [bundles.take(options.batch, number) for number in range(options.repeat + 1)][1:]


def _require_as_stated(asked: Asked, dealt: list[Dealt], parties: int, costs: Costs) -> None:
    for what, counted, stated in (
        ("rounds", asked.rounds, costs.rounds),
        ("bytes online", asked.sent_bytes, parties * costs.online_bytes_per_party),
        ("bytes of the dealer", dealt[-1].packet_bytes, costs.dealer_bytes),
    ):
        require(counted == stated, f"{counted} {what} where the program states {stated}")


def _ask(grid: RunningGrid, network: Network, options: Options) -> Asked:
    seconds, errors, rounds, sent = [], [], 0, 0
    for seed in range(options.repeat + 1):
        x: torch.Tensor = network.inputs(options.batch, seed)
        began = time.perf_counter()
        answer = grid.scientist.ask_encrypted(MODEL, x)
        seconds.append(time.perf_counter() - began)
        errors.append(np.abs(answer.output.double().numpy() - network.in_the_clear(x)).max())
        rounds, sent = answer.rounds, answer.sent_bytes
    return Asked(seconds, float(max(errors)), rounds, sent)


def _peaks(grid: RunningGrid, parties: int) -> Line:
    def peak(*names: str) -> int | None:
        running = [grid.servers[name].process for name in names]
        known = [peak_rss_bytes_of(process.pid) for process in running if process is not None]
        return max((size for size in known if size is not None), default=None)

    everyone = {
        "party": peak(*map(_party, range(parties))),
        "dealer": peak("provider"),
        "host": peak("host"),
    }
    return {role: size for role, size in everyone.items() if size is not None}
