"""What each gate needs of the dealer: the slots of its correlations, how they are drawn and corrected."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import prod
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gridward.core.smpc.comparison import Comparison, plan_comparison
from gridward.core.smpc.gate import (
    Compared,
    Convolution,
    Gate,
    Input,
    LookUp,
    Matmul,
    Multiply,
    MultiplyMatrices,
    MultiplyParameter,
    Open,
    Output,
    PairMax,
    PairsMax,
    Piecewise,
    Relu,
    Shape,
    Square,
    Truncate,
    TruncateFaithful,
)
from gridward.core.smpc.pairing import Pairing, plan_pairing
from gridward.core.smpc.prg import Prg
from gridward.core.smpc.program import Form, Parameter, Register, Slot, SlotKind
from gridward.core.smpc.ring import packed_bytes
from gridward.core.smpc.tabulation import tabulate

SlotArray: TypeAlias = NDArray[np.unsignedinteger]
Key: TypeAlias = tuple[int, str]
"""Gate number and slot name."""

Need: TypeAlias = tuple[str, Shape, str, SlotKind, bool]
"""Name, shape, dtype, kind and whether it is corrected."""

STREAMS_PER_GATE: Final = 1 << 16

CHECKS: Final = 4
"""A guard adds its excesses up so many times, with other coefficients: see ``gates.guard``."""

SIDES: Final = ("beta_carry0", "beta_carry1")
"""What a chosen difference of two truncated values takes of their carries."""


def holder(bits: int) -> str:
    """Name the smallest unsigned dtype of at least ``bits`` bits."""
    return f"uint{max(8, 1 << (bits - 1).bit_length())}"


def compared(gate: Relu | PairMax | PairsMax | Piecewise | TruncateFaithful) -> Comparison:
    """Give the layout of the comparison inside a gate: on the bits below the sign, or on those cut off."""
    bits = gate.shift if isinstance(gate, TruncateFaithful) else gate.bits - 1
    return plan_comparison(bits, gate.levels)


def _words(name: str, shape: Shape, corrected: bool) -> Need:
    return name, shape, "uint64", SlotKind.SUM, corrected


def _bits(name: str, rows: int, count: int, corrected: bool) -> Need:
    return name, (rows, packed_bytes(count)), "uint8", SlotKind.XOR, corrected


def _comparison(
    gate: Relu | PairMax | PairsMax | Piecewise | TruncateFaithful, count: int, times: int = 1
) -> list[Need]:
    """List the tables of ``count`` masks, and what ``times`` as many comparisons with them take."""
    plan = compared(gate)
    tables: list[Need] = [
        (f"block{at}", (count,), holder(1 << bits), SlotKind.XOR, True)
        for at, (_, bits) in enumerate(plan.blocks)
    ]
    merges: list[Need] = []
    for depth, level in enumerate(plan.levels):
        for at, merge in enumerate(level):
            merges.append(_bits(f"merge{depth}.{at}", merge.variables, count * times, False))
            merges.append(_bits(f"products{depth}.{at}", len(merge.products), count * times, True))
    return [*tables, *merges]


def checked(gate: Compared, source: Register) -> int:
    """Count the comparisons of a gate that a guard looks at."""
    rest = prod(source.shape[1:])
    match gate:
        case Relu():
            return prod(source.shape)
        case PairMax():
            return prod(pairs_shape(source.shape))
        case PairsMax():
            return len(pairing_of(gate, source).pairs) * rest
        case Piecewise():
            return len(outermost(gate)) * prod(source.shape)


def outermost(gate: Piecewise) -> tuple[int, ...]:
    """List the places of the least and the largest threshold: what is within reach of both is of all."""
    return tuple(sorted({0, len(gate.thresholds) - 1}))


def _guard(gate: Compared, source: Register) -> list[Need]:
    if not gate.guard:
        return []
    count, dtype = checked(gate, source), holder(gate.guard)
    names = ("above", "turn", "hidden") if isinstance(gate, PairsMax) else ("above", "turn")
    return [
        *((name, (count,), dtype, SlotKind.SUM, True) for name in names),
        ("still", (CHECKS,), dtype, SlotKind.SUM, True),
    ]


def bends(gate: Piecewise) -> tuple[int, ...]:
    """List the thresholds at which the slope of some row changes."""
    places = range(len(gate.thresholds))
    return tuple(at for at in places if any(row[at][1] != row[at + 1][1] for row in gate.rows))


def _piecewise(gate: Piecewise, source: Register) -> list[Need]:
    count, places = prod(source.shape), len(bends(gate))
    needs = [
        *_comparison(gate, count, len(gate.thresholds)),
        _flip(count * len(gate.thresholds)),
        _words("beta", (len(gate.thresholds), count), True),
    ]
    if places:
        needs.append(_words("beta_mask", (places, count), True))
        if source.form is Form.TRUNCATED:
            needs.append(("beta_carry", (places, count), holder(source.carry_bits), SlotKind.SUM, True))
    return needs


def _look_up(gate: LookUp, shape: Shape) -> list[Need]:
    wanted, table, count = gate.tabulation, tabulate(gate.tabulation), prod(shape)
    bits = len(table.columns)
    apart = len(gate.sources) == 2
    needs: list[Need] = [
        ("mask", (2, *shape), "uint64", SlotKind.SUM, False)
        if apart
        else ("mask", shape, holder(wanted.argument_bits), SlotKind.SUM, False),
        ("hot", (count, wanted.words), "uint64", SlotKind.XOR, True),
        _bits("flips", bits, count, False),
        _words("beta", (bits, count), True),
    ]
    if table.slope_bits:
        needs += [_words("low", (count,), True), _words("beta_low", (table.slope_bits, count), True)]
    return needs


def _flip(count: int) -> Need:
    return _bits("flip", 1, count, False)


def _select(source: Register, shape: Shape, sides: tuple[str, ...]) -> list[Need]:
    needs = [_flip(prod(shape)), _words("beta", shape, True), _words("beta_mask", shape, True)]
    if source.form is Form.TRUNCATED:
        # multiplied by a multiple of 2^(64 - shift), so the low `shift` bits are all that count
        needs += [(name, shape, holder(source.carry_bits), SlotKind.SUM, True) for name in sides]
    return needs


def _truncate(shift: int, shape: Shape) -> list[Need]:
    return [
        _words("mask", shape, False),
        _words("high", shape, True),
        ("carry", shape, holder(shift), SlotKind.SUM, True),
    ]


def pairs_shape(shape: Shape) -> Shape:
    """Give the shape of the pairs that ``PairMax`` compares: the first axis halved, rounded down."""
    return (shape[0] // 2, *shape[1:])


def pairing_of(gate: PairsMax, source: Register) -> Pairing:
    """Give the layout of a largest value's pairs."""
    return plan_pairing(source.shape[0] + gate.floor)


def _pairs_max(gate: PairsMax, source: Register) -> list[Need]:
    plan, rest = pairing_of(gate, source), prod(source.shape[1:])
    needs = [
        *_comparison(gate, len(plan.pairs) * rest),
        _bits("top", len(plan.pairs), rest, True),
        _bits("pair", len(plan.pairs), rest, False),
    ]
    for depth, level in enumerate(plan.levels):
        if depth:
            rows = plan.winners * sum(merge.variables for merge in level)
            needs.append(_bits(f"factor{depth}", rows, rest, False))
        rows = plan.winners * sum(len(merge.products) for merge in level)
        needs.append(_bits(f"wins{depth}", rows, rest, True))
    sides = ("beta_carry0",) if gate.floor else SIDES
    return [*needs, *_select(source, (plan.winners, *source.shape[1:]), sides)]


def needs(gate: Gate, registers: Sequence[Register]) -> list[Need]:
    """List the slots of one gate in order; gates that need nothing give an empty list."""
    shape = registers[gate.out].shape
    match gate:
        case Input() | Open():
            return [_words("mask", shape, False)]
        case Matmul() | Convolution() | MultiplyParameter() | Multiply() | Square() | MultiplyMatrices():
            return [_words("product", shape, True)]
        case Truncate():
            return _truncate(gate.shift, shape)
        case TruncateFaithful():
            beta = _words("beta", shape, True)
            return [*_truncate(gate.shift, shape), *_comparison(gate, prod(shape)), _flip(prod(shape)), beta]
        case Relu():
            source = registers[gate.sources[0]]
            chosen = _select(source, shape, ("beta_carry",))
            return [*_comparison(gate, prod(shape)), *chosen, *_guard(gate, source)]
        case PairMax():
            source = registers[gate.sources[0]]
            halves = pairs_shape(source.shape)
            chosen = _select(source, halves, SIDES)
            return [*_comparison(gate, prod(halves)), *chosen, *_guard(gate, source)]
        case PairsMax():
            source = registers[gate.sources[0]]
            return [*_pairs_max(gate, source), *_guard(gate, source)]
        case Piecewise():
            source = registers[gate.sources[0]]
            return [*_piecewise(gate, source), *_guard(gate, source)]
        case LookUp():
            return _look_up(gate, shape)
        case Output():
            return [_words("zero", shape, True)]
        case _:
            return []


def manifest(gates: Iterable[Gate], registers: Sequence[Register]) -> tuple[Slot, ...]:
    """List the slots of a program; the stream number says where in a seed's expansion each one lies."""
    return tuple(
        Slot(at, name, shape, dtype, kind, corrected, at * STREAMS_PER_GATE + number)
        for at, gate in enumerate(gates)
        for number, (name, shape, dtype, kind, corrected) in enumerate(needs(gate, registers))
    )


def setup_manifest(parameters: Sequence[Parameter]) -> tuple[Slot, ...]:
    """List the masks B of the parameters that are operands of products; their seeds need no corrections."""
    return tuple(
        Slot(at, "mask", parameter.shape, "uint64", SlotKind.SUM, False, at * STREAMS_PER_GATE)
        for at, parameter in enumerate(parameters)
        if parameter.masked
    )


def slot_bytes(slot: Slot) -> int:
    """Say how many bytes a slot takes."""
    return prod(slot.shape) * np.dtype(slot.dtype).itemsize


def draw(prg: Prg, slot: Slot) -> SlotArray:
    """Expand one party's part of a slot."""
    drawn = np.empty(prod(slot.shape), dtype=wire_type(slot))
    for _ in draw_into(prg, slot, drawn):
        pass
    return drawn.astype(slot.dtype, copy=False).reshape(slot.shape)


def draw_into(prg: Prg, slot: Slot, out: SlotArray) -> Iterator[SlotArray]:
    """Expand a slot into ``out`` (n,), of ``wire_type``; gives every piece while it is in the cache."""
    begin = 0
    for piece in prg.pieces(slot.stream, out.data.cast("B")):
        end = begin + len(piece) // out.itemsize
        yield out[begin:end]
        begin = end


def draw_passing(prg: Prg, slot: Slot) -> Iterator[SlotArray]:
    """Expand a slot as ``draw_into`` does, each piece in the place of the one before: use it at once."""
    for piece in prg.passing(slot.stream, slot_bytes(slot)):
        yield np.frombuffer(piece, dtype=wire_type(slot))


def wire_type(slot: Slot) -> np.dtype[np.unsignedinteger]:
    """Give the dtype of a slot in streams and packets: little-endian."""
    return np.dtype(slot.dtype).newbyteorder("<")


def query_prgs(seed: bytes) -> tuple[Prg, Prg]:
    """Give the expansion of a query's seed: for the bundle, and for the first wire's mask alone."""
    root = Prg(seed)
    return Prg(root.subkey("bundle")), Prg(root.subkey("input mask"))


def input_gates(gates: Sequence[Gate]) -> frozenset[int]:
    """Name the gates whose mask comes from the input subkey."""
    return frozenset(at for at, gate in enumerate(gates) if isinstance(gate, Input))


def join(kind: SlotKind, left: SlotArray, right: SlotArray) -> SlotArray:
    """Join two parts, modulo the width of their dtype."""
    return left + right if kind is SlotKind.SUM else left ^ right


def join_into(kind: SlotKind, total: SlotArray, part: SlotArray) -> None:
    """Join a part to a total of the same dtype, in place."""
    (np.add if kind is SlotKind.SUM else np.bitwise_xor)(total, part, out=total)


def cut(kind: SlotKind, value: SlotArray, others: SlotArray) -> SlotArray:
    """Give what is missing from the other parts to a value: the inverse of ``join``."""
    return value - others if kind is SlotKind.SUM else value ^ others


def write_corrections(slots: Iterable[Slot], corrections: Mapping[Key, SlotArray]) -> list[memoryview]:
    """Give the corrections of all corrected slots in manifest order, each as little-endian bytes."""
    arrays = [
        np.ascontiguousarray(corrections[slot.gate, slot.name], dtype=wire_type(slot))
        for slot in slots
        if slot.corrected
    ]
    return [array.reshape(-1).data.cast("B") for array in arrays]


def correction_bytes(slots: Iterable[Slot]) -> int:
    """Say how long the corrections of a manifest are."""
    return sum(slot_bytes(slot) for slot in slots if slot.corrected)
