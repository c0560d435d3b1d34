"""What a party computes before the input of a query is there: C - A * W^ of every product with a weight.

The masks A of wires are drawn for that alone, and forgotten when the last product that takes them is done.
"""

from typing import TypeAlias

import numpy as np

from gridward.core.smpc.gate import (
    AddConstant,
    Concatenate,
    Convolution,
    Expand,
    Gate,
    Input,
    Matmul,
    MultiplyParameter,
    Open,
    Permute,
    Pick,
    Slice,
    View,
    Windows,
)
from gridward.core.smpc.gates.linear import add_product
from gridward.core.smpc.gates.local import move
from gridward.core.smpc.gates.products import by_parameter
from gridward.core.smpc.kernels.seam import Kernels
from gridward.core.smpc.operands import Weights
from gridward.core.smpc.ring import RingArray
from gridward.core.smpc.session import Session

Weighted: TypeAlias = Matmul | Convolution | MultiplyParameter
"""Products with a deployed weight."""


def precompute(session: Session, opened: Weights) -> None:
    """Put C - A * W^ of every product with a weight into the session."""
    gates = session.program.gates
    last = last_uses(gates)
    masks: dict[int, RingArray] = {}
    for at, gate in enumerate(gates):
        if isinstance(gate, Weighted):
            product = np.zeros(session.program.registers[gate.out].shape, dtype=np.uint64)
            add_weighted(gate, masks[gate.sources[0]], opened, product, session.kernels)
            session.offline[at] = np.subtract(session.whole(at, "product"), product, out=product)
        elif gate.out in last:
            masks[gate.out] = _mask(session, at, gate, masks)
        for source in gate.sources:
            if last.get(source) == at:
                del masks[source]


def last_uses(gates: tuple[Gate, ...]) -> dict[int, int]:
    """Name the registers whose masks products with a weight need, with the last gate that takes each."""
    last: dict[int, int] = {}
    for at in reversed(range(len(gates))):
        gate = gates[at]
        moves = gate.out in last and not isinstance(gate, Input | Open)
        if moves or isinstance(gate, Weighted):
            for source in gate.sources:
                last.setdefault(source, at)
    return last


def add_weighted(
    gate: Weighted, words: RingArray, weights: Weights, out: RingArray, kernels: Kernels
) -> None:
    """Add the product of words with a weight to ``out`` in place."""
    if isinstance(gate, MultiplyParameter):
        out += by_parameter(gate, words, weights.words(gate.weight))
    else:
        add_product(gate, words, weights.fixed(gate, kernels), out, kernels)


def _mask(session: Session, at: int, gate: Gate, masks: dict[int, RingArray]) -> RingArray:
    """Give the party's share of a wire's mask; the masks of what it is made of are there."""
    match gate:
        case Input() | Open():
            return session.supply.look(at, "mask").astype(np.uint64, copy=False)
        case AddConstant():
            return masks[gate.sources[0]]
        case Concatenate():
            return np.concatenate([masks[source] for source in gate.sources], axis=gate.axis)
        case View() | Permute() | Expand() | Slice() | Pick() | Windows():
            return move(gate, masks[gate.sources[0]], session.program.registers[gate.out])
        case _:
            raise ValueError(f"gate {at} ({type(gate).__name__}) makes no wire")
