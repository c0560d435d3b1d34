"""Weights in the form that a set of kernels multiplies by, prepared when first used and kept."""

import threading
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import numpy as np

from gridward.core.smpc.gate import Convolution, Matmul, Shape
from gridward.core.smpc.kernels.seam import Kernels, Operand
from gridward.core.smpc.ring import RingArray

Product: TypeAlias = Matmul | Convolution


class Side(StrEnum):
    """What of a weight is multiplied by: a party's share w, the opened W + B, or the dealer's mask B."""

    SHARE = "share"
    OPENED = "opened"
    MASK = "mask"


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


class FixedWeights:
    """The prepared weights of one deployment, for programs of all batches. Safe to share between threads.

    Memory: what ``Kernels.fix`` keeps of each weight, at most once for every side.
    """

    __slots__ = ("_kept", "_lock")

    def __init__(self) -> None:
        self._kept: dict[tuple[object, ...], FixedWeight] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"FixedWeights({len(self._kept)} kept)"

    def get(self, side: Side, gate: Product, weight: RingArray, kernels: Kernels) -> FixedWeight:
        """Give a weight for a gate; the same ``side`` and number must always come with the same words."""
        layout = gate.transposed if isinstance(gate, Matmul) else gate.groups
        key = (kernels, side, gate.weight, type(gate), layout)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = fix(gate, weight, kernels)
            return self._kept[key]
