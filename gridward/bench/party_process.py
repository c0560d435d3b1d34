"""One party as a process of its own, that another process of this benchmark drives through a pipe."""

import ctypes
import os
import socket
import sys
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from gridward.bench.measure import peak_rss_bytes_of, reset_peak, rss_bytes_of, timed
from gridward.bench.shaping import Conditions, ShapedTransport
from gridward.bench.streams import StreamTransport
from gridward.core.smpc.bundles import join_pool
from gridward.core.smpc.deployment import DeployedModel, deploy
from gridward.core.smpc.kernels import cpu
from gridward.core.smpc.link import SESSION_BYTES, Link, Transport
from gridward.core.smpc.packets import open_file
from gridward.core.smpc.party import answer, input_subkey, prepare
from gridward.core.smpc.program import Program
from gridward.core.smpc.ring import RingArray

PARAMETERS: Final = "parameters"
ROUND_S: Final = 300.0
_TIMER_SLACK: Final = 29


@dataclass(frozen=True, slots=True)
class Seat:
    """What a party's process starts with: its pool of packets, its sockets to the peers, its cores."""

    program: Program
    party: int
    pool: Path
    sockets: dict[int, socket.socket]
    cores: frozenset[int] | None
    conditions: Conditions | None


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a party says when its bundle is loaded."""

    subkey: bytes
    seconds: float


@dataclass(frozen=True, slots=True)
class Answered:
    """What a party says when a query is done; ``seconds`` from its masked input to its output share."""

    output_share: RingArray
    seconds: float
    rounds: int
    sent_bytes: int
    written_bytes: int
    start_rss_bytes: int
    peak_rss_bytes: int


def sit(seat: Seat, control: Connection) -> None:
    """Deploy, then serve queries until the pipe ends: each is a bundle's number, then a masked input."""
    if seat.cores is not None:
        os.sched_setaffinity(0, seat.cores)
    if sys.platform == "linux":  # a simulated delay of 0.1 ms must not become 0.15
        ctypes.CDLL(None).prctl(_TIMER_SLACK, 1, 0, 0, 0)
    cpu.warm_up()  # as a node does before it serves
    start = rss_bytes_of(os.getpid()) or 0
    reset_peak(os.getpid())
    streams = StreamTransport(seat.sockets)
    shaped = ShapedTransport(streams, seat.conditions) if seat.conditions else streams
    link, parameters = _link(seat, shaped, bytes(SESSION_BYTES)), seat.pool / PARAMETERS
    model = deploy(seat.program, seat.party, control.recv_bytes(), open_file(parameters), link)
    control.send(None)
    try:
        while True:
            _serve(seat, model, shaped, streams, control, start)
    except (EOFError, BrokenPipeError):
        return


def _serve(
    seat: Seat,
    model: DeployedModel,
    transport: Transport,
    streams: StreamTransport,
    control: Connection,
    start: int,
) -> None:
    pool = join_pool(seat.pool)
    packet = pool.take(seat.program.batch, control.recv())
    session, loading = timed(lambda: prepare(seat.program, model, packet))
    control.send(Prepared(input_subkey(seat.program, seat.party, packet), loading))
    masked: RingArray = control.recv()
    written = streams.written_bytes
    link = _link(seat, transport, packet.header.serial)
    result, seconds = timed(lambda: answer(session, masked, link))
    pool.sweep()
    control.send(
        Answered(
            output_share=result.output_share,
            seconds=seconds,
            rounds=result.rounds,
            sent_bytes=result.bytes_sent,
            written_bytes=streams.written_bytes - written,
            start_rss_bytes=start,
            peak_rss_bytes=peak_rss_bytes_of(os.getpid()) or 0,
        )
    )


def _link(seat: Seat, transport: Transport, session: bytes) -> Link:
    return Link(transport, seat.party, seat.program.parties, session, ROUND_S)
