"""Exact costs of a program: the rounds and bytes that a run will count, from shapes alone."""

from collections.abc import Sequence
from math import prod

from gridward.core.smpc import link, packets
from gridward.core.smpc.correlations import compared, correction_bytes, pairs_shape
from gridward.core.smpc.gate import (
    Convolution,
    Gate,
    Matmul,
    Multiply,
    MultiplyMatrices,
    MultiplyParameter,
    Open,
    PairMax,
    Relu,
    Square,
    Truncate,
    TruncateFaithful,
)
from gridward.core.smpc.program import Costs, Parameter, Register, Slot
from gridward.core.smpc.ring import WORD_BYTES, packed_bytes


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
        case _:
            return []


def _compare(gate: Relu | PairMax | TruncateFaithful, count: int) -> list[int]:
    levels = compared(gate).levels
    bits = [sum(merge.variables for merge in level) for level in levels]
    return [rows * packed_bytes(count) for rows in (*bits, 1)]


def schedule(gates: Sequence[Gate], registers: Sequence[Register]) -> list[int]:
    """Give the payload bytes of each round: a gate starts once its sources are done and shares rounds."""
    waiting = list(gates)
    running: list[tuple[Gate, list[int]]] = []
    done: set[int] = set()
    rounds: list[int] = []
    while waiting or running:
        for gate in [gate for gate in waiting if done.issuperset(gate.sources)]:
            waiting.remove(gate)
            running.append((gate, openings(gate, registers)))
        finished = [gate for gate, left in running if not left]
        running = [(gate, left) for gate, left in running if left]
        if finished:
            done.update(gate.out for gate in finished)
            continue
        rounds.append(sum(left.pop(0) for _, left in running))
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
    masked = sum(prod(parameter.shape) for parameter in parameters if parameter.masked)
    frames = parties * (parties - 1) * (link.HEADER_BYTES + masked * WORD_BYTES) if masked else 0
    return 2 * parties * packets.HEADER_BYTES + words * WORD_BYTES + frames


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
    )
