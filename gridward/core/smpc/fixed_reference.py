"""A program in the clear, on the same integers: what the protocol must answer, bit for bit.

For calibration before a deployment (does every value keep within the width?), and for tests: given the masks
of the truncations it makes the same rounding choices as the parties.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridward.core.errors import OutOfRangeError
from gridward.core.smpc.correlations import draw, outermost, pairing_of, query_prgs
from gridward.core.smpc.deployment import encode_parameter
from gridward.core.smpc.fixed_point import decode
from gridward.core.smpc.gate import (
    Add,
    AddConstant,
    AddParameter,
    Concatenate,
    Convolution,
    Expand,
    Gate,
    Input,
    LookUp,
    Matmul,
    Multiply,
    MultiplyConstant,
    MultiplyMatrices,
    MultiplyParameter,
    Open,
    Output,
    PairMax,
    PairsMax,
    Permute,
    Pick,
    Piecewise,
    Relu,
    Scale,
    Slice,
    Square,
    Sum,
    SumPool,
    Truncate,
    TruncateFaithful,
    View,
    Windows,
)
from gridward.core.smpc.gates import local, look_up, piecewise
from gridward.core.smpc.gates.linear import product
from gridward.core.smpc.gates.maximum import differences, with_floor
from gridward.core.smpc.gates.products import by_parameter, multiplied
from gridward.core.smpc.gates.select import pairs
from gridward.core.smpc.kernels import reference
from gridward.core.smpc.kernels.seam import Kernels
from gridward.core.smpc.packets import parse_packet
from gridward.core.smpc.program import Program
from gridward.core.smpc.query import encode_input
from gridward.core.smpc.ring import HEADROOM_BITS, RING_BITS, RingArray, signed, unsigned, word


def evaluate(
    program: Program,
    parameters: Mapping[str, ArrayLike],
    values: ArrayLike,
    masks: Mapping[int, RingArray] | None = None,
    kernels: Kernels = reference,
) -> NDArray[np.float64]:
    """Compute a program in the clear: reals of ``program.output.shape``.

    ``masks`` maps gate numbers to the masks R of truncations and look-ups with a public coin, see
    ``truncation_masks``; without them every truncation goes to the floor, and look-ups read the argument's
    own cell. Raises ``OutOfRangeError`` naming the gate where a value leaves the program's width, which in
    the protocol gives a wrong answer and no error.
    """
    registers = registers_of(program, parameters, values, masks, kernels)
    return decode(registers[program.gates[-1].out], program.output.scale)


def registers_of(
    program: Program,
    parameters: Mapping[str, ArrayLike],
    values: ArrayLike,
    masks: Mapping[int, RingArray] | None = None,
    kernels: Kernels = reference,
) -> dict[int, RingArray]:
    """Give every value of a program, by its register's number; see ``evaluate``."""
    weights = [encode_parameter(program, item, parameters) for item in program.parameters]
    first = encode_input(program, values)
    run = _Clear(program, weights, masks or {}, kernels, {program.gates[0].out: first})
    for at, gate in enumerate(program.gates):
        run.registers[gate.out] = run.compute(at, gate)
    return run.registers


def extremes(
    program: Program, parameters: Mapping[str, ArrayLike], values: ArrayLike, kernels: Kernels = reference
) -> dict[int, tuple[int, int]]:
    """Give the least and the largest integer that samples take in each register that is compared."""
    registers = registers_of(program, parameters, values, None, kernels)
    return {
        at: (int(signed(registers[at]).min()), int(signed(registers[at]).max())) for at in program.compared
    }


def truncation_masks(program: Program, packets: Sequence[bytes]) -> dict[int, RingArray]:
    """Add up the masks R of gates with a public coin from all parties' packets (tests have them all)."""
    prgs = [query_prgs(parse_packet(packet).seed)[0] for packet in packets]
    return {
        slot.gate: np.sum([draw(prg, slot) for prg in prgs], axis=0, dtype=slot.dtype).astype(np.uint64)
        for slot in program.manifest
        if slot.name == "mask" and isinstance(program.gates[slot.gate], (Truncate, LookUp))
    }


class _Clear:
    def __init__(
        self,
        program: Program,
        weights: Sequence[RingArray],
        masks: Mapping[int, RingArray],
        kernels: Kernels,
        registers: dict[int, RingArray],
    ) -> None:
        self.program = program
        self.weights = weights
        self.masks = masks
        self.kernels = kernels
        self.registers = registers

    def compute(self, at: int, gate: Gate) -> RingArray:
        result = self.program.registers[gate.out]
        if isinstance(gate, Input):
            return self.registers[gate.out]
        words = self.registers[gate.sources[0]]
        match gate:
            case View() | Permute() | Expand() | Slice() | Pick() | Windows():
                return local.move(gate, words, result)
            case Concatenate():
                return np.concatenate([self.registers[at] for at in gate.sources], axis=gate.axis)
            case Matmul() | Convolution():
                return product(gate, words, self.weights[gate.weight], result, self.kernels)
            case MultiplyParameter():
                return by_parameter(gate, words, self.weights[gate.weight])
            case Multiply() | MultiplyMatrices():
                return multiplied(gate, words, self.registers[gate.sources[1]], self.kernels)
            case Square():
                return words * words
            case AddParameter():
                return words + self.weights[gate.parameter].reshape(gate.shape) * word(gate.sign)
            case AddConstant():
                return words + local.constant(gate)
            case Add():
                return local.add(gate, words, self.registers[gate.sources[1]])
            case Scale():
                return local.scale(gate, words)
            case MultiplyConstant():
                return words * local.constant(gate)
            case Sum():
                return local.summed(gate, words)
            case SumPool():
                return local.pooled(gate, words, result)
            case Truncate() | TruncateFaithful():
                return self._truncated(at, gate, words)
            case PairsMax():
                return self._largest(at, gate, words)
            case Relu() | PairMax():
                return self._larger(at, gate, words)
            case Piecewise():
                for place in outermost(gate):
                    self._check(at, words - word(gate.thresholds[place]), gate.bits)
                return piecewise.in_clear(gate, words)
            case LookUp():
                return self._read(at, gate)
            case Open() | Output():
                return words

    def _truncated(self, at: int, gate: Truncate | TruncateFaithful, words: RingArray) -> RingArray:
        self._check(at, words, RING_BITS - HEADROOM_BITS + 1)
        floor = unsigned(signed(words) >> gate.shift)
        finer = self.program.registers[gate.out].scale - self.program.fraction_bits
        self._check(at, floor, self.program.width + finer)
        mask = self.masks.get(at)
        if mask is None:
            return floor
        low = word((1 << gate.shift) - 1)
        return floor + ((words + mask) & low < mask & low).astype(np.uint64)

    def _read(self, at: int, gate: LookUp) -> RingArray:
        values = [self.registers[source] for source in gate.sources]
        if len(values) == 1 and not look_up.covers(gate.tabulation, values[0]):
            raise OutOfRangeError(f"gate {at} (LookUp): a value lies outside the table")
        return look_up.in_clear(gate, values, self.masks.get(at))

    def _larger(self, at: int, gate: Relu | PairMax, words: RingArray) -> RingArray:
        if isinstance(gate, Relu):
            self._check(at, words, gate.bits)
            return unsigned(np.maximum(signed(words), 0))
        left, right = pairs(words)
        self._check(at, left - right, gate.bits)
        larger = unsigned(np.maximum(signed(left), signed(right)))
        return np.concatenate([larger, words[2 * len(larger) :]])

    def _largest(self, at: int, gate: PairsMax, words: RingArray) -> RingArray:
        candidates = with_floor(gate, words)
        plan = pairing_of(gate, self.program.registers[gate.sources[0]])
        self._check(at, differences(plan, candidates), gate.bits)
        return unsigned(signed(candidates).max(axis=0))

    def _check(self, at: int, words: RingArray, bits: int) -> None:
        reach = 1 << (bits - 1)
        if words.size and (int(signed(words).max()) >= reach or int(signed(words).min()) < -reach):
            kind = type(self.program.gates[at]).__name__
            raise OutOfRangeError(f"gate {at} ({kind}): a value takes more than {bits} bits")
