"""Bounds of every value of a program, as integers at its fraction bits, for whatever a query brings.

They hold for every input within the program's declared range and every mask, wherever the program itself is
right: where what it compares keeps within the bits that it compares, and what it truncates below 2^62.
Without parameters they say nothing of a model; with them they are bounds of its rows' sums of magnitudes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product as each_with_each
from math import prod

import numpy as np
from numpy.typing import ArrayLike

from gridward.core.smpc.deployment import encode_parameter
from gridward.core.smpc.fixed_point import encode
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
from gridward.core.smpc.gates.local import constant
from gridward.core.smpc.program import Program
from gridward.core.smpc.ring import HEADROOM_BITS, RING_BITS, RingArray, signed
from gridward.core.smpc.tabulation import Tabulation, tabulate


@dataclass(frozen=True, slots=True)
class Interval:
    """The integers from ``low`` to ``high``, both among them."""

    low: int
    high: int

    @property
    def bits(self) -> int:
        """Say how many bits hold every one of them, sign included."""
        return 1 + max((end if end >= 0 else ~end).bit_length() for end in (self.low, self.high))

    def within(self, bits: int) -> "Interval":
        """Give what is left of it in so many bits."""
        reach = 1 << (bits - 1)
        return Interval(*(min(max(end, -reach), reach - 1) for end in (self.low, self.high)))

    def times(self, other: "Interval") -> "Interval":
        """Give the products of each with each."""
        ends = [a * b for a, b in each_with_each((self.low, self.high), (other.low, other.high))]
        return Interval(min(ends), max(ends))

    def plus(self, other: "Interval") -> "Interval":
        """Give the sums of each with each."""
        return Interval(self.low + other.low, self.high + other.high)

    def repeated(self, count: int) -> "Interval":
        """Give the sums of so many."""
        return Interval(self.low * count, self.high * count)

    def with_zero(self) -> "Interval":
        """Take in 0."""
        return Interval(min(self.low, 0), max(self.high, 0))


def hull(parts: Sequence[Interval]) -> Interval:
    """Give the least interval that holds all of them."""
    return Interval(min(part.low for part in parts), max(part.high for part in parts))


def bounds(program: Program, parameters: Mapping[str, ArrayLike] | None = None) -> tuple[Interval, ...]:
    """Bound every register of a program.

    ``parameters`` are the model's; what is found with them tells something about them. Without them each may
    be as large as a deployment takes. Raises as ``encode_parameter``.
    """
    held = (
        None
        if parameters is None
        else [encode_parameter(program, item, parameters) for item in program.parameters]
    )
    run = _Bounds(program, held, [], {})
    compared = set(program.compared)
    for gate in program.gates:
        found = run.of(gate)
        if gate.out in compared:
            found = found.within(run.comparable_bits(gate.out))
        run.found.append(found)
    return tuple(run.found)


@dataclass(slots=True)
class _Bounds:
    """The registers so far; ``rows`` has the results of straight pieces one by one."""

    program: Program
    held: list[RingArray] | None
    found: list[Interval]
    rows: dict[int, list[Interval]]

    def comparable_bits(self, register: int) -> int:
        """Say in how many bits the program compares a register."""
        return self.program.width + self.program.registers[register].scale - self.program.fraction_bits

    def of(self, gate: Gate) -> Interval:
        """Bound what a gate makes."""
        if isinstance(gate, Input):
            return self._input()
        x = self.found[gate.sources[0]]
        match gate:
            case View() | Permute() | Expand() | Pick() | Windows() | Open() | Output() | PairMax():
                return x
            case Slice():
                rows = self.rows.get(gate.sources[0])
                alone = rows and gate.axis == 0 and self.program.registers[gate.out].shape[0] == 1
                return rows[gate.start] if rows and alone else x
            case Concatenate():
                return hull([self.found[source] for source in gate.sources])
            case Truncate():
                cut = x.within(RING_BITS - HEADROOM_BITS + 1)
                return Interval(cut.low >> gate.shift, (cut.high >> gate.shift) + 1)
            case TruncateFaithful():
                cut = x.within(RING_BITS - HEADROOM_BITS + 1)
                return Interval(cut.low >> gate.shift, cut.high >> gate.shift)
            case Relu():
                return Interval(max(x.low, 0), max(x.high, 0))
            case PairsMax():
                return Interval(max(x.low, 0), max(x.high, 0)) if gate.floor else x
            case Piecewise():
                self.rows[gate.out] = [_pieces(gate, row, x) for row in range(len(gate.rows))]
                return hull(self.rows[gate.out])
            case LookUp():
                return _curve(gate.tabulation)
            case _:
                return self._linear(gate, x)

    def _linear(
        self,
        gate: Matmul
        | Convolution
        | MultiplyParameter
        | Multiply
        | Square
        | MultiplyMatrices
        | AddParameter
        | AddConstant
        | Add
        | Scale
        | MultiplyConstant
        | Sum
        | SumPool,
        x: Interval,
    ) -> Interval:
        match gate:
            case Matmul() | Convolution():
                return self._product(gate, x)
            case MultiplyParameter():
                return x.times(self._parameter(gate.weight))
            case Multiply():
                return x.times(self.found[gate.sources[1]])
            case Square():
                ends = x.low**2, x.high**2
                return Interval(0 if x.low <= 0 <= x.high else min(ends), max(ends))
            case MultiplyMatrices():
                terms = self.program.registers[gate.sources[0]].shape[-1]
                return x.times(self.found[gate.sources[1]]).repeated(terms)
            case AddParameter():
                return x.plus(self._parameter(gate.parameter).times(Interval(gate.sign, gate.sign)))
            case AddConstant():
                return x.plus(_of_words(constant(gate)))
            case Add():
                factors = [Interval(factor, factor) for factor in gate.factors]
                return x.times(factors[0]).plus(self.found[gate.sources[1]].times(factors[1]))
            case Scale():
                return x.times(Interval(gate.factor, gate.factor))
            case MultiplyConstant():
                return x.times(_of_words(constant(gate)))
            case Sum():
                shape = self.program.registers[gate.sources[0]].shape
                return x.repeated(prod(shape[axis] for axis in gate.axes))
            case SumPool():
                return (x.with_zero() if any(gate.padding) else x).repeated(prod(gate.kernel))

    def _input(self) -> Interval:
        """Give the declared range as it is encoded, or all that is encoded."""
        program = self.program
        if program.input_range is None:
            reach = (1 << (program.width - 1)) - 1
            return Interval(-reach, reach)
        return _of_words(encode(program.input_range, program.input.scale, program.width))

    def _parameter(self, number: int) -> Interval:
        if self.held is not None:
            return _of_words(self.held[number])
        scale = self.program.parameters[number].scale
        reach = (1 << (scale + self.program.width - self.program.fraction_bits - 1)) - 1
        return Interval(-reach, reach)

    def _product(self, gate: Matmul | Convolution, x: Interval) -> Interval:
        """Bound sums of products: for each result those of its positive and of its negative weights."""
        shape = self.program.parameters[gate.weight].shape
        if isinstance(gate, Convolution):
            axes: tuple[int, ...] = (1, 2, 3)
            x = x.with_zero()  # padding
        else:
            axes = (1,) if gate.transposed else (0,)
        if self.held is None:
            return x.times(self._parameter(gate.weight)).repeated(prod(shape[axis] for axis in axes))
        words = signed(self.held[gate.weight]).astype(object)
        above, below = np.maximum(words, 0).sum(axis=axes), np.minimum(words, 0).sum(axis=axes)
        return Interval(min(above * x.low + below * x.high), max(above * x.high + below * x.low))


def _of_words(words: RingArray) -> Interval:
    return Interval(int(signed(words).min()), int(signed(words).max()))


def _pieces(gate: Piecewise, row: int, x: Interval) -> Interval:
    """Bound one function of straight pieces: each piece at the ends of what of x lies on it."""
    lows = (x.low, *(max(x.low, threshold) for threshold in gate.thresholds))
    highs = (*(min(x.high, threshold - 1) for threshold in gate.thresholds), x.high)
    return hull(
        [
            Interval(offset, offset).plus(Interval(low, high).times(Interval(slope, slope)))
            for (offset, slope), low, high in zip(gate.rows[row], lows, highs, strict=True)
            if low <= high
        ]
    )


def _curve(wanted: Tabulation) -> Interval:
    """Bound what a table gives: every line of it at both ends of two cells."""
    table = tabulate(wanted)
    starts = (table.intercepts + table.intercept).astype(object) << (wanted.shift - wanted.drop)
    slopes = (table.slopes + table.slope).astype(object)
    far = (1 << (wanted.shift - wanted.drop)) - 1
    ends = np.concatenate([starts - slopes * far, starts + slopes * far])
    return Interval(int(ends.min()), int(ends.max()))
