"""Sessions whose masks a test chooses, for exhaustive checks."""

from collections.abc import Mapping

import numpy as np

from gridward.core.smpc.correlations import (
    Key,
    SlotArray,
    cut,
    expand,
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
from gridward.core.smpc.party import answer, load
from gridward.core.smpc.program import Program
from gridward.core.smpc.ring import RingArray, signed
from gridward.core.smpc.session import Session
from tests.support.parties import SeededEntropy, jointly


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
        parts = expand(program.manifest, bundle, first, input_gates(program.gates), body)
        if party == 0:
            parts |= {key: join(kinds[key], parts[key], shift) for key, shift in shifts.items()}
        model = DeployedModel(party, program.parties, program.setup_digest, bytes(16), (), ())
        sessions.append(load(program, model, parts, (), kernels))
    return sessions


def output_of(sessions: list[Session], masked: RingArray) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Answer with all sessions and add the shares up, as integers."""

    def work(party: int, link: Link) -> RingArray:
        return answer(sessions[party], masked, link).output_share

    return signed(np.sum(jointly(len(sessions), work), axis=0, dtype=np.uint64))
