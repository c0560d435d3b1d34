"""All parties of an encrypted model as threads of this process, with the clock between the phases."""

import secrets
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Final, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridward.bench.measure import Line, summary
from gridward.core.smpc.dealer import Dealer
from gridward.core.smpc.deployment import deploy, split_parameters
from gridward.core.smpc.link import SESSION_BYTES, Link, LocalTransport, local_mesh
from gridward.core.smpc.party import answer, input_subkey, prepare
from gridward.core.smpc.prg import KEY_BYTES
from gridward.core.smpc.program import Program
from gridward.core.smpc.query import mask_input, reconstruct_output

ROUND_S: Final = 60.0
Part = TypeVar("Part")


@dataclass(frozen=True, slots=True)
class Query:
    """One query: its answer, the seconds of its phases, and what was counted on the link.

    ``dealer_s``: the dealer makes the packets. ``offline_s``: all parties expand theirs and compute what does
    not depend on the input. ``online_s``: the client masks, the parties compute, the client adds up.
    """

    output: NDArray[np.float64]
    dealer_s: float
    offline_s: float
    online_s: float
    rounds: int
    bytes_of_parties: tuple[int, ...]
    dealer_bytes: int


class Mesh:
    """A deployed model whose parties are threads: kernels release the interpreter's lock, Python does not."""

    def __init__(self, program: Program, parameters: Mapping[str, ArrayLike]) -> None:
        self._program = program
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
        began = time.perf_counter()
        packets = self._dealer.deal_query(secrets.token_bytes, serial % program.parties)
        dealt = time.perf_counter()
        sessions = self._jointly(lambda at: prepare(program, self._models[at], packets[at]))
        subkeys = [input_subkey(program, at, packet) for at, packet in enumerate(packets)]
        prepared = time.perf_counter()
        masked = mask_input(program, x, subkeys)
        results = self._jointly(lambda at: answer(sessions[at], masked, links[at]))
        output = reconstruct_output(program, [result.output_share for result in results])
        return Query(
            output=output,
            dealer_s=dealt - began,
            offline_s=prepared - dealt,
            online_s=time.perf_counter() - prepared,
            rounds=max(result.rounds for result in results),
            bytes_of_parties=tuple(result.bytes_sent for result in results),
            dealer_bytes=sum(map(len, packets)),
        )

    def _links(self) -> list[Link]:
        session = secrets.token_bytes(SESSION_BYTES)
        mesh: list[LocalTransport] = local_mesh(self._program.parties)
        return [Link(mesh[at], at, len(mesh), session, ROUND_S) for at in range(len(mesh))]

    def _jointly(self, work: Callable[[int], Part]) -> list[Part]:
        return list(self._pool.map(work, range(self._program.parties)))


def phases(queries: list[Query]) -> Line:
    """Summarise the seconds of all phases and what the last query counted."""
    return {
        "online_s": summary([query.online_s for query in queries]),
        "offline_s": summary([query.offline_s for query in queries]),
        "dealer_s": summary([query.dealer_s for query in queries]),
        "rounds": queries[-1].rounds,
        "online_bytes_per_party": max(queries[-1].bytes_of_parties),
        "dealer_bytes": queries[-1].dealer_bytes,
    }
