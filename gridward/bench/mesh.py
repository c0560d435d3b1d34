"""All parties of an encrypted model as threads of this process, with the clock between the phases.

Threads share one interpreter, whose lock they fight for wherever no kernel runs; ``seats`` gives each party a
process. Both time the protocol alone: no HTTP, no sealing, no database.
"""

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridward.bench.measure import Line, require, summary, timed
from gridward.bench.shaping import Conditions, ShapedTransport
from gridward.core.smpc.dealer import Dealer
from gridward.core.smpc.deployment import deploy, split_parameters
from gridward.core.smpc.link import SESSION_BYTES, Link, Transport, local_mesh
from gridward.core.smpc.party import RunResult, answer, input_subkey, prepare
from gridward.core.smpc.prg import KEY_BYTES
from gridward.core.smpc.program import Program
from gridward.core.smpc.query import mask_input, reconstruct_output

ROUND_S: Final = 300.0
Part = TypeVar("Part")


@dataclass(frozen=True, slots=True)
class Query:
    """One query: its answer, the seconds of its phases, and what was counted on the link.

    ``dealer_s``: the dealer makes the packets. ``load_s``: all parties expand theirs and compute what does
    not depend on the input. ``online_s``: the client masks, the parties compute, the client adds up.
    ``protocol_s``: the slowest party, from masked input to output share. ``written_bytes`` are those that
    each party's sockets took, where there are sockets.
    """

    output: NDArray[np.float64]
    packets: Sequence[bytes]
    dealer_s: float
    load_s: float
    online_s: float
    protocol_s: float
    rounds: int
    bytes_of_parties: tuple[int, ...]
    written_bytes: tuple[int, ...] = ()
    rss_bytes: tuple[tuple[int, int], ...] = ()

    @property
    def dealer_bytes(self) -> int:
        """The bytes of all packets."""
        return sum(map(len, self.packets))


class Parties(Protocol):
    """A deployed model that answers queries."""

    def ask(self, x: ArrayLike, serial: int) -> Query:
        """Deal, prepare and run one query; ``serial`` rotates who gets the corrections."""


class Mesh:
    """A deployed model whose parties are threads: kernels release the interpreter's lock, Python does not."""

    def __init__(
        self, program: Program, parameters: Mapping[str, ArrayLike], conditions: Conditions | None = None
    ) -> None:
        self._program = program
        self._conditions = conditions
        self._pool = ThreadPoolExecutor(program.parties)
        self._dealer = Dealer(program, secrets.token_bytes(KEY_BYTES))
        setup = self._dealer.deal_setup()
        shares = split_parameters(program, parameters, secrets.token_bytes)
        links = self._links()
        self._models = self._jointly(lambda at: deploy(program, at, setup[at], shares[at], links[at]))

    def __enter__(self) -> "Mesh":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()

    def ask(self, x: ArrayLike, serial: int) -> Query:
        """Deal, prepare and run one query; ``serial`` rotates who gets the corrections."""
        program, links = self._program, self._links()
        packets, dealer_s = timed(
            lambda: self._dealer.deal_query(secrets.token_bytes, serial % program.parties)
        )
        sessions, load_s = timed(
            lambda: self._jointly(lambda at: prepare(program, self._models[at], packets[at]))
        )
        subkeys = [input_subkey(program, at, packet) for at, packet in enumerate(packets)]
        began = time.perf_counter()
        masked = mask_input(program, x, subkeys)
        results = self._jointly(lambda at: timed(lambda: answer(sessions[at], masked, links[at])))
        return Query(
            output=joined(program, [result for result, _ in results]),
            packets=packets,
            dealer_s=dealer_s,
            load_s=load_s,
            online_s=time.perf_counter() - began,
            protocol_s=max(seconds for _, seconds in results),
            rounds=max(result.rounds for result, _ in results),
            bytes_of_parties=tuple(result.bytes_sent for result, _ in results),
        )

    def _links(self) -> list[Link]:
        session = secrets.token_bytes(SESSION_BYTES)
        mesh: list[Transport] = list(local_mesh(self._program.parties))
        if self._conditions is not None:
            mesh = [ShapedTransport(transport, self._conditions) for transport in mesh]
        return [Link(mesh[at], at, len(mesh), session, ROUND_S) for at in range(len(mesh))]

    def _jointly(self, work: Callable[[int], Part]) -> list[Part]:
        return list(self._pool.map(work, range(self._program.parties)))


def joined(program: Program, results: Sequence[RunResult]) -> NDArray[np.float64]:
    """Give the client's answer."""
    return reconstruct_output(
        program, [result.output_share for result in results], [result.checks for result in results]
    )


def phases(queries: Sequence[Query]) -> Line:
    """Summarise the seconds of all phases and what the last query counted.

    Offline is dealing and loading; nothing is fetched, the packets are handed over in memory.
    """
    last = queries[-1]
    told: Line = {
        "online_s": summary([query.online_s for query in queries]),
        "protocol_s": summary([query.protocol_s for query in queries]),
        "offline_s": summary([query.dealer_s + query.load_s for query in queries]),
        "dealer_s": summary([query.dealer_s for query in queries]),
        "load_s": summary([query.load_s for query in queries]),
        "rounds": last.rounds,
        "online_bytes_per_party": max(last.bytes_of_parties),
        "dealer_bytes": last.dealer_bytes,
    }
    if last.written_bytes:
        told["written_bytes_per_party"] = max(last.written_bytes)
    return told


def require_as_stated(program: Program, query: Query, prefix_bytes: int = 0) -> None:
    """Refuse a query that took other rounds or bytes than the program states.

    ``prefix_bytes`` are what the transport puts before each frame; nothing else may be extra at the socket.
    """
    costs = program.costs
    frames = costs.rounds * (program.parties - 1) * prefix_bytes
    counted = [
        ("rounds", query.rounds, costs.rounds),
        ("dealer bytes", query.dealer_bytes, costs.dealer_bytes),
    ]
    counted += [("bytes", sent, costs.online_bytes_per_party) for sent in query.bytes_of_parties]
    counted += [
        ("bytes at the socket", written, costs.online_bytes_per_party + frames)
        for written in query.written_bytes
    ]
    for what, found, stated in counted:
        require(found == stated, f"{found} {what} where the program states {stated}")
