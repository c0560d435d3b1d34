"""Exact costs of a program: the rounds and bytes that a run will count, from shapes alone."""

from collections.abc import Sequence
from math import prod
from typing import Final

import numpy as np

from gridward.core.smpc import link, packets
from gridward.core.smpc.correlations import (
    compared,
    correction_bytes,
    needs,
    pairing_of,
    pairs_shape,
)
from gridward.core.smpc.gate import (
    Convolution,
    Gate,
    LookUp,
    Matmul,
    Multiply,
    MultiplyMatrices,
    MultiplyParameter,
    Open,
    PairMax,
    PairsMax,
    Piecewise,
    Relu,
    Square,
    Truncate,
    TruncateFaithful,
)
from gridward.core.smpc.memory import count_memory
from gridward.core.smpc.program import Costs, Parameter, Register, Slot
from gridward.core.smpc.ring import WORD_BYTES, packed_bytes

SETUP_PIECE_WORDS: Final = 1 << 18
"""Words of a weight that are opened in one round of the set-up."""


def openings(gate: Gate, registers: Sequence[Register]) -> list[int]:
    """List the bytes that a gate opens, one entry a round."""
    count = prod(registers[gate.out].shape)
    match gate:
        case Truncate() | Open():
            return [count * WORD_BYTES]
        case TruncateFaithful():
            return [count * WORD_BYTES, *_compare(gate, count)]
        case Relu():
            return _compare(gate, count)
        case PairMax():
            return _compare(gate, prod(pairs_shape(registers[gate.sources[0]].shape)))
        case Piecewise():
            return _compare(gate, prod(registers[gate.sources[0]].shape) * len(gate.thresholds))
        case LookUp():
            sizes = {
                name: prod(shape) * np.dtype(dtype).itemsize
                for name, shape, dtype, *_ in needs(gate, registers)
            }
            return [sizes["mask"], sizes["flips"]]
        case PairsMax():
            return _pairs_max(gate, registers[gate.sources[0]])
        case _:
            return []


def _compare(gate: Relu | PairMax | Piecewise | TruncateFaithful, count: int) -> list[int]:
    return [*_merges(gate, count), packed_bytes(count)]


def _merges(gate: Relu | PairMax | PairsMax | Piecewise | TruncateFaithful, count: int) -> list[int]:
    levels = compared(gate).levels
    return [sum(merge.variables for merge in level) * packed_bytes(count) for level in levels]


def _pairs_max(gate: PairsMax, source: Register) -> list[int]:
    plan, rest = pairing_of(gate, source), prod(source.shape[1:])
    factors = [plan.winners * sum(merge.variables for merge in level) for level in plan.levels[1:]]
    opened = [rows * packed_bytes(rest) for rows in (len(plan.pairs), *factors)]
    return [*_merges(gate, len(plan.pairs) * rest), *opened, packed_bytes(plan.winners * rest)]


def schedule(gates: Sequence[Gate], registers: Sequence[Register]) -> list[int]:
    """Give the payload bytes of each round: a gate starts once its sources are done and shares rounds."""
    done: dict[int, int] = {}
    rounds: list[int] = []
    for gate in gates:  # sources come before those who read them
        start = max((done[source] for source in gate.sources), default=0)
        opened = openings(gate, registers)
        done[gate.out] = start + len(opened)
        rounds += [0] * (done[gate.out] - len(rounds))
        for at, size in enumerate(opened, start):
            rounds[at] += size
    return rounds


def macs(gate: Gate, registers: Sequence[Register], parameters: Sequence[Parameter]) -> int:
    """Count the ring multiplications of one product."""
    match gate:
        case Matmul():
            return prod(registers[gate.out].shape) * registers[gate.sources[0]].shape[1]
        case Convolution():
            return prod(registers[gate.out].shape) * prod(parameters[gate.weight].shape[1:])
        case MultiplyParameter() | Square():
            return prod(registers[gate.out].shape)
        case Multiply():
            return 2 * prod(registers[gate.out].shape)
        case MultiplyMatrices():
            return 2 * prod(registers[gate.out].shape) * registers[gate.sources[0]].shape[-1]
        case _:
            return 0


def setup_bytes(parameters: Sequence[Parameter], parties: int) -> int:
    """Add up what is sent once: the provider's and the owner's packets, and one opening of W + B."""
    words = sum(prod(parameter.shape) for parameter in parameters)
    masked = [prod(parameter.shape) for parameter in parameters if parameter.masked]
    frames = sum(-(-size // SETUP_PIECE_WORDS) for size in masked)
    opened = parties * (parties - 1) * (link.HEADER_BYTES * frames + sum(masked) * WORD_BYTES)
    return 2 * parties * packets.HEADER_BYTES + words * WORD_BYTES + opened


def count_costs(
    gates: Sequence[Gate],
    registers: Sequence[Register],
    parameters: Sequence[Parameter],
    manifest: Sequence[Slot],
    parties: int,
) -> Costs:
    """State the costs of a program for one party, see ``Costs``."""
    rounds = schedule(gates, registers)
    return Costs(
        rounds=len(rounds),
        online_bytes_per_party=(parties - 1) * (sum(rounds) + len(rounds) * link.HEADER_BYTES),
        dealer_bytes=parties * packets.HEADER_BYTES + correction_bytes(manifest),
        setup_bytes=setup_bytes(parameters, parties),
        ring_macs=sum(macs(gate, registers, parameters) for gate in gates),
        memory=count_memory(
            gates, registers, parameters, manifest, [openings(gate, registers) for gate in gates], parties
        ),
    )
