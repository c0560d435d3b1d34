"""How many bytes a party holds at most: its model, an open query, and a query that runs; from shapes alone.

A gate works in segments: up to its first opening, between two, and behind the last. In each it holds parts of
the bundle, and arrays of its own. Gates that wait for the same round hold theirs together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from math import prod
from typing import Final

from gridward.core.smpc.comparison import Comparison
from gridward.core.smpc.correlations import Key, bends, compared, pairing_of, pairs_shape, slot_bytes
from gridward.core.smpc.gate import (
    Convolution,
    Gate,
    Input,
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
from gridward.core.smpc.program import Form, Memory, Parameter, Register, Slot
from gridward.core.smpc.ring import WORD_BYTES, packed_bytes

AHEAD_BYTES: Final = 16 << 20
"""What a party expands of any bundle before the input of its query is there."""
AHEAD_SHARE: Final = 3
"""Of a large model more: one part in so many of what its parameters take as words."""
TILE_ROWS: Final = 16
TILE_DEPTH: Final = 64
"""Fixed operands are padded to whole tiles on machines that have those."""
_PADDING: Final = 3
"""Tiles do not pay where they would be padded to more than so many times the operand."""
_BYTES: Final = {Form.SHARE: 8, Form.WIRE: 16, Form.TRUNCATED: 17}
"""Of a value's element: its share, its public word, and whether its truncation wrapped."""

Compared = Relu | PairMax | PairsMax | Piecewise | TruncateFaithful
Weighted = Matmul | Convolution | MultiplyParameter


def count_memory(
    gates: Sequence[Gate],
    registers: Sequence[Register],
    parameters: Sequence[Parameter],
    manifest: Sequence[Slot],
    openings: Sequence[Sequence[int]],
    parties: int,
) -> Memory:
    """State what a party holds; ``openings`` are the bytes that each gate opens, one entry a round."""
    model, most = _model(gates, registers, parameters)
    ahead = ahead_bytes(parameters)
    weighted = {at for at, gate in enumerate(gates) if isinstance(gate, Weighted)}
    held = {
        (slot.gate, slot.name): slot_bytes(slot)
        for slot, end in zip(manifest, accumulate(map(slot_bytes, manifest)), strict=True)
        if end <= ahead and slot.gate not in weighted
    }
    offline = {at: prod(registers[gates[at].out].shape) * WORD_BYTES for at in weighted}
    waiting = sum(held.values()) + sum(offline.values())
    spans: dict[int, list[tuple[Slot, int, int]]] = {}
    for slot in manifest:
        if slot.gate not in weighted:
            spans.setdefault(slot.gate, []).append((slot, *_span(gates[slot.gate], slot.name)))
    running = _Running(gates, registers, openings, parties, spans, held, offline)
    load = waiting + most + sum(map(_mask_bytes, (registers[gates[at].sources[0]] for at in weighted)))
    return Memory(model, waiting, model + max(running.most(), load))


def ahead_bytes(parameters: Sequence[Parameter]) -> int:
    """Say how much of a bundle is expanded ahead, which saves a query time and takes memory."""
    return max(AHEAD_BYTES, sum(prod(one.shape) for one in parameters) * WORD_BYTES // AHEAD_SHARE)


def _mask_bytes(register: Register) -> int:
    return 2 * prod(register.shape) * WORD_BYTES


def _model(
    gates: Sequence[Gate], registers: Sequence[Register], parameters: Sequence[Parameter]
) -> tuple[int, int]:
    """Add up shares and opened weights, padded; give the largest too: it is there twice while it is cut."""
    sizes = [prod(parameter.shape) * WORD_BYTES for parameter in parameters]
    padded = list(sizes)
    for gate in gates:
        if isinstance(gate, Matmul | Convolution):
            padded[gate.weight] = max(padded[gate.weight], _padded(gate, registers, parameters, sizes))
    total = sum(size * (2 if item.masked else 1) for size, item in zip(padded, parameters, strict=True))
    return total, max((size for size, item in zip(padded, parameters, strict=True) if item.masked), default=0)


def _padded(
    gate: Matmul | Convolution,
    registers: Sequence[Register],
    parameters: Sequence[Parameter],
    sizes: Sequence[int],
) -> int:
    shape = parameters[gate.weight].shape
    groups, rows, depth = 1, registers[gate.out].shape[1], registers[gate.sources[0]].shape[1]
    if isinstance(gate, Convolution):
        groups, rows, depth = gate.groups, shape[0] // gate.groups, prod(shape[1:])
    tiles = groups * -(-rows // TILE_ROWS) * -(-depth // TILE_DEPTH)
    return min(tiles * TILE_ROWS * TILE_DEPTH * WORD_BYTES, _PADDING * sizes[gate.weight])


def _span(gate: Gate, name: str) -> tuple[int, int]:
    """Name the first and the last segment in which a part is there."""
    match gate:
        case Open():
            return 0, 1
        case Truncate():
            return (0, 0) if name == "mask" else (1, 1)
        case LookUp():
            return {"mask": (0, 0), "hot": (1, 1), "flips": (1, 1)}.get(name, (2, 2))
        case Relu() | PairMax() | PairsMax() | Piecewise() | TruncateFaithful():
            return _span_of_comparison(gate, name)
        case _:
            return 0, 0


def _span_of_comparison(gate: Compared, name: str) -> tuple[int, int]:
    begins = 1 if isinstance(gate, TruncateFaithful) else 0
    ends = begins + len(compared(gate).levels)
    if name in ("mask", "high", "carry"):
        return (0, 0) if name == "mask" else (1, 1)
    if name.startswith("block"):
        return begins, begins
    if name.startswith(("merge", "products")):
        depth = int(name.removeprefix("merge").removeprefix("products").split(".")[0])
        return begins + depth, begins + depth + 1
    if isinstance(gate, PairsMax):
        return ends, ends + 3
    return (ends, ends) if name == "flip" else (ends + 1, ends + 1)


def _own(gate: Gate, registers: Sequence[Register], segment: int, last: int) -> int:
    """Bound the arrays that a gate makes in a segment, its result included."""
    result = registers[gate.out]
    count = prod(result.shape)
    source = registers[gate.sources[0]] if gate.sources else result
    taken = prod(source.shape)
    widened = taken * WORD_BYTES if source.form is Form.TRUNCATED and segment == last else 0
    match gate:
        case Input():
            return 2 * count * WORD_BYTES
        case Open() | Truncate():
            return count * (WORD_BYTES if segment == 0 else WORD_BYTES + _BYTES[Form.TRUNCATED])
        case TruncateFaithful():
            wide = WORD_BYTES + _BYTES[Form.TRUNCATED]
            return count * (WORD_BYTES, wide)[segment == 1] + count * (segment == last) + _bits(gate, count)
        case Relu():
            return (segment == last) * count * (WORD_BYTES + 1) + _bits(gate, count) + widened
        case PairMax():
            pairs = prod(pairs_shape(source.shape))
            ends = (segment == last) * (pairs * (WORD_BYTES + 1) + count * WORD_BYTES)
            return pairs * WORD_BYTES + ends + _bits(gate, pairs) + widened
        case PairsMax():
            return _own_of_pairs(gate, source, segment, last) + 3 * widened
        case Piecewise():
            bent, places = len(bends(gate)), len(gate.thresholds)
            tables = 2 * places * taken * WORD_BYTES * (places > 1)
            words = taken * (4 * places + 6 * bent + 2 * len(gate.rows)) * WORD_BYTES
            return (words if segment == last else places * taken * WORD_BYTES + tables) + widened * (bent + 1)
        case LookUp():
            return 8 * count * WORD_BYTES
        case Matmul() | Convolution():
            return _gathered(gate, source)
        case Multiply() | Square() | MultiplyMatrices():
            return 4 * count * WORD_BYTES + sum(prod(registers[at].shape) for at in gate.sources) * WORD_BYTES
        case _:
            return count * (_BYTES[result.form] + 2 * WORD_BYTES)


def _bits(gate: Compared, count: int) -> int:
    """Bound the bits of blocks, what is opened of them, and what they merge to."""
    plan: Comparison = compared(gate)
    opened = max((sum(merge.variables for merge in level) for level in plan.levels), default=0)
    return (4 * len(plan.blocks) + opened) * packed_bytes(count)


def _own_of_pairs(gate: PairsMax, source: Register, segment: int, last: int) -> int:
    plan, rest = pairing_of(gate, source), prod(source.shape[1:])
    pairs = len(plan.pairs) * rest
    if segment == last:
        return (3 * plan.winners + 2) * rest * WORD_BYTES + pairs * WORD_BYTES
    candidates = (prod(source.shape) + rest) * WORD_BYTES if segment == 0 else 0
    return (3 if segment == 0 else 1) * pairs * WORD_BYTES + candidates + 4 * pairs + _bits(gate, pairs)


def _gathered(gate: Matmul | Convolution, source: Register) -> int:
    if isinstance(gate, Matmul):
        return 0
    n, channels, height, width = source.shape
    return n * channels * (height + 2 * gate.padding[0]) * (width + 2 * gate.padding[1]) * WORD_BYTES


@dataclass(slots=True)
class _Running:
    """A query run by sizes alone, in the order of ``session.run_gates``."""

    gates: Sequence[Gate]
    registers: Sequence[Register]
    openings: Sequence[Sequence[int]]
    parties: int
    spans: Mapping[int, Sequence[tuple[Slot, int, int]]]
    held: dict[Key, int]
    offline: dict[int, int]
    values: dict[int, int] = field(default_factory=dict)
    waiting: dict[int, int] = field(default_factory=dict)
    """By gate, the segment behind which it waits for an opening."""
    largest: int = 0

    def most(self) -> int:
        """Give the most bytes that are there at once."""
        readers: dict[int, set[int]] = {}
        for at, gate in enumerate(self.gates):
            for source in gate.sources:
                readers.setdefault(source, set()).add(at)
        done: set[int] = set()
        began: set[int] = set()
        while len(done) < len(self.gates):
            for at in sorted(self.waiting):
                self._enter(at, self.waiting.pop(at) + 1, readers, done)
            before = -1
            while len(began) > before:  # gates that open nothing let others begin at once
                before = len(began)
                for at, gate in enumerate(self.gates):
                    if at not in began and all(source in self.values for source in gate.sources):
                        began.add(at)
                        self._enter(at, 0, readers, done)
            self._see(sum(self._exchanged(at) for at in self.waiting))
        return self.largest

    def _enter(self, at: int, segment: int, readers: dict[int, set[int]], done: set[int]) -> None:
        gate, last = self.gates[at], len(self.openings[at])
        parts = 0
        for slot, first, ends in self.spans.get(at, ()):
            if first == segment:
                self.held.pop((at, slot.name), None)
            parts += slot_bytes(slot) * (first <= segment <= ends)
        self._see(parts + _own(gate, self.registers, segment, last) + sum(map(self._kept, self.waiting)))
        if segment < last:
            self.waiting[at] = segment
            alone = (
                isinstance(gate, Open | Truncate | TruncateFaithful) and len(readers[gate.sources[0]]) == 1
            )
            if alone and segment == 0:
                self.values[gate.sources[0]] = 0  # masked, and needed no more
            return
        done.add(at)
        self.offline.pop(at, None)
        result = self.registers[gate.out]
        self.values[gate.out] = prod(result.shape) * _BYTES[result.form]
        for source in gate.sources:
            if readers[source] <= done:
                self.values[source] = 0

    def _kept(self, at: int) -> int:
        """Bound what a gate holds while it waits: parts and arrays of both segments, and what it opens."""
        segment, last = self.waiting[at], len(self.openings[at])
        gate = self.gates[at]
        parts = sum(slot_bytes(slot) for slot, _, ends in self.spans.get(at, ()) if ends > segment)
        parts -= sum(slot_bytes(slot) for slot, first, _ in self.spans.get(at, ()) if first > segment)
        own = min(_own(gate, self.registers, at_segment, last) for at_segment in (segment, segment + 1))
        return parts + own + self.openings[at][segment]

    def _exchanged(self, at: int) -> int:
        """Add the frames to what a gate keeps: written and sent, received from each peer and read."""
        return self._kept(at) + (1 + 2 * (self.parties - 1)) * self.openings[at][self.waiting[at]]

    def _see(self, working: int) -> None:
        held = sum(map(sum, (self.held.values(), self.offline.values(), self.values.values())))
        came = prod(self.registers[self.gates[0].out].shape) * WORD_BYTES
        self.largest = max(self.largest, came + held + working)
