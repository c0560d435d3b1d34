"""Weights in one form at a time: as words, or as a set of kernels multiplies by them once they are used."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from gridward.core.smpc.gate import Convolution, Matmul, Shape
from gridward.core.smpc.kernels.seam import Kernels, Operand
from gridward.core.smpc.ring import RingArray

Product: TypeAlias = Matmul | Convolution
Layout: TypeAlias = tuple[type[Product], bool | int]
"""How a product reads its weight: its kind, and whether turned or in how many groups."""


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class FixedWeight:
    """A weight as the fixed operand of a product, and the shape that it has as a parameter."""

    operand: Operand
    shape: Shape


def fix(gate: Product, weight: RingArray, kernels: Kernels) -> FixedWeight:
    """Prepare a weight for a gate: rows of what each output sums over, in groups."""
    if isinstance(gate, Matmul):
        rows = weight if gate.transposed else weight.T
        return FixedWeight(kernels.fix(np.ascontiguousarray(rows)[None]), weight.shape)
    rows = weight.reshape(gate.groups, weight.shape[0] // gate.groups, -1)
    return FixedWeight(kernels.fix(rows), weight.shape)


def _words_of(layout: Layout, fixed: FixedWeight) -> RingArray:
    """Give back the words of a prepared weight."""
    kind, how = layout
    rows = fixed.operand.rows
    turned = kind is Matmul and not how
    return np.ascontiguousarray(rows[0].T) if turned else rows.reshape(fixed.shape)


class Weights:
    """Parameters of one deployment by number: a party's shares of them, the opened W + B, or the masks B.

    Each is kept once: as words, or from its first product on as the fixed operand of that; once for each
    layout where products want several. For programs of all batches. Safe to share between threads.
    """

    __slots__ = ("_fixed", "_lock", "_words")

    def __init__(self, words: Mapping[int, RingArray]) -> None:
        self._words = dict(words)
        self._fixed: dict[int, dict[tuple[Kernels, Layout], FixedWeight]] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Weights({len(self._words)} as words, {len(self._fixed)} as operands)"

    @property
    def numbers(self) -> frozenset[int]:
        """Name the parameters that are here."""
        return frozenset(self._words) | frozenset(self._fixed)

    def words(self, number: int) -> RingArray:
        """Give a parameter's words; computed anew where it is kept as an operand."""
        with self._lock:
            return self._some_words(number)

    def fixed(self, gate: Product, kernels: Kernels) -> FixedWeight:
        """Give the weight of a product as its operand."""
        layout: Layout = type(gate), gate.transposed if isinstance(gate, Matmul) else gate.groups
        with self._lock:
            kept = self._fixed.setdefault(gate.weight, {})
            if (kernels, layout) not in kept:
                kept[kernels, layout] = fix(gate, self._some_words(gate.weight), kernels)
                self._words.pop(gate.weight, None)
            return kept[kernels, layout]

    def _some_words(self, number: int) -> RingArray:
        if number in self._words:
            return self._words[number]
        (_, layout), fixed = next(iter(self._fixed[number].items()))
        return _words_of(layout, fixed)
