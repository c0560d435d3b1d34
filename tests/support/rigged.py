"""Sessions whose masks a test chooses, for exhaustive checks."""

from collections.abc import Mapping

import numpy as np

from gridward.core.smpc.correlations import (
    Key,
    SlotArray,
    cut,
    input_gates,
    join,
    query_prgs,
    write_corrections,
)
from gridward.core.smpc.dealer import Dealing, sums_of_draws
from gridward.core.smpc.deployment import DeployedModel
from gridward.core.smpc.kernels import cpu
from gridward.core.smpc.kernels.seam import Kernels
from gridward.core.smpc.link import Link
from gridward.core.smpc.operands import Weights
from gridward.core.smpc.packets import BodyInMemory
from gridward.core.smpc.party import answer, load
from gridward.core.smpc.program import Program, SlotKind
from gridward.core.smpc.ring import RingArray, signed
from gridward.core.smpc.session import Session
from gridward.core.smpc.supply import Supply
from tests.support.parties import SeededEntropy, jointly


class Rigged(Supply):
    """Parts of which some are shifted."""

    def __init__(self, inner: Supply, shifts: Mapping[Key, tuple[SlotKind, SlotArray]]) -> None:
        self.inner = inner
        self.shifts = shifts

    def hold(self, limit_bytes: int) -> None:
        self.inner.hold(limit_bytes)

    def shape(self, gate: int, name: str) -> tuple[int, ...]:
        return self.inner.shape(gate, name)

    def take(self, gate: int, name: str) -> SlotArray:
        return self._shifted(gate, name, self.inner.take(gate, name))

    def look(self, gate: int, name: str) -> SlotArray:
        return self._shifted(gate, name, self.inner.look(gate, name))

    def take_into(self, gate: int, name: str, out: SlotArray) -> None:
        out[...] = self.take(gate, name)

    def close(self) -> None:
        self.inner.close()

    def _shifted(self, gate: int, name: str, part: SlotArray) -> SlotArray:
        return join(*self.shifts[gate, name], part) if (gate, name) in self.shifts else part


def rigged_sessions(
    program: Program, wanted: Mapping[Key, SlotArray], kernels: Kernels = cpu, seed: int = 1
) -> list[Session]:
    """Deal a program without parameters, with the joined values of some slots as a test wants them."""
    entropy = SeededEntropy(seed)
    seeds = [entropy(32) for _ in range(program.parties)]
    sums = sums_of_draws(program, seeds)
    kinds = {(slot.gate, slot.name): slot.kind for slot in program.manifest}
    shifts = {key: cut(kinds[key], value, sums[key]) for key, value in wanted.items()}
    dealing = Dealing(program, kernels, {}, sums | dict(wanted))
    dealing.deal_all()
    corrections = write_corrections(program.manifest, dealing.corrections)
    sessions = []
    for party in range(program.parties):
        bundle, first = query_prgs(seeds[party])
        body = b"" if party else b"".join(corrections)
        supply = Supply(
            program.manifest, bundle, first, input_gates(program.gates), BodyInMemory(memoryview(body))
        )
        if party == 0:
            supply.hold(2**40)
            supply = Rigged(supply, {key: (kinds[key], shift) for key, shift in shifts.items()})
        nothing = Weights({})
        model = DeployedModel(party, program.parties, program.setup_digest, bytes(16), nothing, nothing)
        sessions.append(load(program, model, supply, (), kernels))
    return sessions


def output_of(sessions: list[Session], masked: RingArray) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Answer with all sessions and add the shares up, as integers."""

    def work(party: int, link: Link) -> RingArray:
        return answer(sessions[party], masked, link).output_share

    return signed(np.sum(jointly(len(sessions), work), axis=0, dtype=np.uint64))
