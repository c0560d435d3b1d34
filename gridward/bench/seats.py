"""All parties of an encrypted model as processes linked by plain local sockets, each on cores of its own.

So are other systems measured: nothing but the protocol is timed.
"""

import secrets
import time
from collections.abc import Mapping
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Final

from numpy.typing import ArrayLike

from gridward.bench import cores
from gridward.bench.measure import timed
from gridward.bench.mesh import Query, joined
from gridward.bench.party_process import PARAMETERS, Answered, Prepared, Seat, sit
from gridward.bench.shaping import Conditions
from gridward.bench.streams import socket_mesh
from gridward.core.smpc.bundles import open_pool
from gridward.core.smpc.dealer import Dealer
from gridward.core.smpc.deployment import split_parameters
from gridward.core.smpc.packets import name_bundle
from gridward.core.smpc.party import RunResult
from gridward.core.smpc.prg import KEY_BYTES
from gridward.core.smpc.program import Program
from gridward.core.smpc.query import mask_input

STOP_S: Final = 10.0


class Seats:
    """A deployed model whose parties are processes linked by local sockets, each on cores of its own."""

    def __init__(
        self,
        program: Program,
        parameters: Mapping[str, ArrayLike],
        conditions: Conditions | None = None,
        threads: int = 1,
    ) -> None:
        self._program = program
        self._dealer = Dealer(program, secrets.token_bytes(KEY_BYTES))
        setup = self._dealer.deal_setup()
        shares = split_parameters(program, parameters, secrets.token_bytes)
        sockets = socket_mesh(program.parties)
        pinned = cores.places(program.parties, threads)
        self._folder = TemporaryDirectory(prefix="gridward-bench-")
        self._pools = [open_pool(Path(self._folder.name) / str(at)) for at in range(program.parties)]
        self._processes: list[SpawnProcess] = []
        self._controls: list[Connection] = []
        with cores.thread_pools(threads):
            for at in range(program.parties):
                own = None if pinned is None else pinned[at]
                self._start(Seat(program, at, self._pools[at].folder, sockets[at], own, conditions))
        for held in sockets:
            for one in held.values():
                one.close()
        for at, control in enumerate(self._controls):
            (self._pools[at].folder / PARAMETERS).write_bytes(shares[at])
            control.send_bytes(setup[at])
        for control in self._controls:
            control.recv()

    def _start(self, seat: Seat) -> None:
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=sit, args=(seat, theirs), daemon=True)
        process.start()
        theirs.close()
        self._processes.append(process)
        self._controls.append(ours)

    def __enter__(self) -> "Seats":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for control in self._controls:
            control.close()
        for process in self._processes:
            process.join(STOP_S)
            if process.is_alive():
                process.kill()
        self._folder.cleanup()

    def ask(self, x: ArrayLike, serial: int) -> Query:
        """Deal, prepare and run one query; ``serial`` rotates who gets the corrections."""
        program = self._program
        name = name_bundle(program.batch, serial)
        packets, dealer_s = timed(
            lambda: self._dealer.deal_query(secrets.token_bytes, serial % program.parties, name)
        )
        for pool, control, packet in zip(self._pools, self._controls, packets, strict=True):
            pool.store(program.batch, serial, packet)
            control.send(serial)
        prepared: list[Prepared] = [control.recv() for control in self._controls]
        began = time.perf_counter()
        masked = mask_input(program, x, [one.subkey for one in prepared])
        for control in self._controls:
            control.send(masked)
        answers: list[Answered] = [control.recv() for control in self._controls]
        results = [RunResult(one.output_share, one.rounds, one.sent_bytes) for one in answers]
        return Query(
            output=joined(program, results),
            packets=packets,
            dealer_s=dealer_s,
            load_s=max(one.seconds for one in prepared),
            online_s=time.perf_counter() - began,
            protocol_s=max(one.seconds for one in answers),
            rounds=max(one.rounds for one in answers),
            bytes_of_parties=tuple(one.sent_bytes for one in answers),
            written_bytes=tuple(one.written_bytes for one in answers),
            rss_bytes=tuple((one.start_rss_bytes, one.peak_rss_bytes) for one in answers),
        )
