"""What a query does when the link between parties misbehaves: it ends, everywhere, with nothing wrong."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest

from gridward.core.errors import ProtocolError
from gridward.core.smpc.compile import compile_plan
from gridward.core.smpc.link import HEADER_BYTES, Link, LocalTransport, Octets, local_mesh
from gridward.core.smpc.party import RunResult, input_subkey, run
from gridward.core.smpc.query import mask_input
from tests.support.parties import Grid, deployed, mlp_plan, random_values

Spoil = Callable[[bytes], Sequence[bytes]]
"""From one frame to what is sent in its place."""

FAULTS: dict[str, Spoil] = {
    "truncated": lambda frame: [frame[:-1]],
    "headless": lambda frame: [frame[: HEADER_BYTES - 1]],
    "corrupted": lambda frame: [frame[:-1] + bytes([frame[-1] ^ 4])],
    "lengthened": lambda frame: [frame + b"x"],
    "another context": lambda frame: [frame[:8] + bytes([frame[8] ^ 1]) + frame[9:]],
    "lost": lambda frame: [],
    "duplicated": lambda frame: [frame, frame],
}
ROUND_S = 0.4
X = np.array([[0.5, -1.0, 2.0]])


@dataclass
class Faulty:
    """A transport that spoils the frame of one round to its first peer."""

    inner: LocalTransport
    spoil: Spoil
    round: int
    sent: int = 0

    def authentic(self, peer: int) -> bool:
        return self.inner.authentic(peer)

    def send(self, peer: int, *frame: Octets) -> None:
        spoiled = [b"".join(frame)]
        if peer == min(self.inner.outboxes):
            spoiled = list(self.spoil(spoiled[0])) if self.sent == self.round else spoiled
            self.sent += 1
        for one in spoiled:
            self.inner.send(peer, one)

    def receive(self, peer: int, deadline: float) -> bytes:
        return self.inner.receive(peer, deadline)

    def close(self) -> None:
        self.inner.close()


@pytest.fixture(scope="module", params=[2, 3])
def grid(request: pytest.FixtureRequest) -> Grid:
    program = compile_plan(mlp_plan(3, 4, 2), batch=1, parties=request.param)
    return deployed(program, random_values(program, 1))


def outcomes(grid: Grid, spoil: Spoil, at: int) -> list[RunResult | BaseException]:
    """Run a query in which the last party spoils its frame of round ``at`` to party 0."""
    program = grid.program
    packets = grid.dealer.deal_query(grid.entropy, 0)
    masked = mask_input(program, X, [input_subkey(program, p, packet) for p, packet in enumerate(packets)])
    mesh = local_mesh(program.parties)
    transports = [*mesh[:-1], Faulty(mesh[-1], spoil, at)]
    links = [
        Link(transport, party, program.parties, bytes(16), ROUND_S)
        for party, transport in enumerate(transports)
    ]
    with ThreadPoolExecutor(program.parties) as pool:
        pending = [
            pool.submit(run, program, grid.models[party], packets[party], masked, links[party])
            for party in range(program.parties)
        ]
        return [future.exception() or future.result() for future in pending]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_spoiled_frame_of_any_round_ends_the_query_at_every_party(grid: Grid, fault: str) -> None:
    rounds = grid.program.costs.rounds
    for at in (0, rounds // 2, rounds - 3):
        got = outcomes(grid, FAULTS[fault], at)
        assert all(isinstance(one, ProtocolError) for one in got), (fault, at, got)
        assert any(f"party {grid.program.parties - 1}" in str(one) for one in got)


@pytest.mark.parametrize("fault", FAULTS)
def test_one_share_of_the_answer_is_never_given_after_a_spoiled_frame(grid: Grid, fault: str) -> None:
    # near the end the others may be done before the party that finds the fault; without its share they are
    # nothing: the client has no answer
    for back in (1, 2):
        if (fault, back) != ("duplicated", 1):
            got = outcomes(grid, FAULTS[fault], grid.program.costs.rounds - back)
            assert isinstance(got[0], ProtocolError)


def test_a_frame_that_comes_again_after_the_last_round_changes_no_answer(grid: Grid) -> None:
    got = outcomes(grid, FAULTS["duplicated"], grid.program.costs.rounds - 1)
    assert all(isinstance(one, RunResult) for one in got)


def test_a_frame_that_comes_after_the_deadline_is_not_used() -> None:
    mesh = local_mesh(2)
    link, peer = (Link(mesh[party], party, 2, bytes(16), 0.1) for party in range(2))
    with pytest.raises(ProtocolError, match=r"party 1 sent nothing in round 0 within 0\.1 s"):
        link.exchange(b"good")
    with pytest.raises(ProtocolError, match="party 0"):
        for _ in range(2):
            peer.exchange(b"late")
    with pytest.raises(ProtocolError, match="over"):
        link.exchange(b"good")


def test_parties_of_different_programs_do_not_compute_together() -> None:
    plan = mlp_plan(3, 4, 2)
    programs = [compile_plan(plan, batch=1, parties=2, levels=levels) for levels in (1, 2)]
    assert programs[0].digest != programs[1].digest
    grids = [deployed(program, random_values(program, 1)) for program in programs]
    packets = [grid.dealer.deal_query(grid.entropy, 0) for grid in grids]
    masked = np.zeros((1, 3), dtype=np.uint64)
    mesh = local_mesh(2)

    def work(party: int) -> RunResult:
        link = Link(mesh[party], party, 2, bytes(16), 5.0)
        return run(programs[party], grids[party].models[party], packets[party][party], masked, link)

    with ThreadPoolExecutor(2) as pool:
        errors = [future.exception() for future in [pool.submit(work, party) for party in range(2)]]
    assert all(isinstance(error, ProtocolError) for error in errors)
    assert any("another session, program" in str(error) for error in errors)
