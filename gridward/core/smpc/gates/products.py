"""Products of two wires, and of a wire with a weight element by element. They open nothing.

With x^ = x + A and y^ = y + B public and C = A * B shared by the dealer, for any bilinear ``*``,
x_i * y^ - x^ * B_i + C_i is a share of x * y (Beaver 1991, with the openings already done): the public
x^ * y^ comes in with party 0's share of x. A wire keeps one mask however many products it enters; every
product has a C of its own.
"""

import numpy as np

from gridward.core.smpc.gate import Multiply, MultiplyMatrices, MultiplyParameter, Square
from gridward.core.smpc.kernels.seam import Kernels
from gridward.core.smpc.ring import RingArray
from gridward.core.smpc.session import Held, Session


def multiplied(
    gate: Multiply | MultiplyMatrices, left: RingArray, right: RingArray, kernels: Kernels
) -> RingArray:
    """Multiply words modulo 2^64; bilinear, so it serves shares, masks and plain values."""
    if isinstance(gate, Multiply):
        return left * right
    if left.ndim == 2:
        return kernels.matmul(left, right)
    pairs = zip(left, right, strict=True)
    return np.stack([kernels.matmul(np.ascontiguousarray(a), np.ascontiguousarray(b)) for a, b in pairs])


def by_parameter(gate: MultiplyParameter, words: RingArray, weight: RingArray) -> RingArray:
    """Multiply by a weight element by element, modulo 2^64."""
    return words * weight.reshape(gate.shape)


def multiply(at: int, gate: Multiply | MultiplyMatrices, session: Session) -> Held:
    """Multiply two wires.

    Security: opens nothing. Cost: no bytes; two products of public words with a share for each party.
    Scale: those of both operands together.
    """
    left, right = (session.values[source] for source in gate.sources)
    first = multiplied(gate, left.share, session.public(gate.sources[1]), session.kernels)
    second = multiplied(gate, session.public(gate.sources[0]), _minus_mask(right, session), session.kernels)
    return Held(first + second + _product(at, session))


def square(at: int, gate: Square, session: Session) -> Held:
    """Multiply a wire by itself: x^ * (x_i - A_i) + C_i. Security and scale: as ``multiply``."""
    held, public = session.values[gate.sources[0]], session.public(gate.sources[0])
    return Held(public * (held.share + _minus_mask(held, session)) + _product(at, session))


def _minus_mask(held: Held, session: Session) -> RingArray:
    """Give this party's share of minus a wire's mask."""
    if not session.first or held.public is None:
        return held.share
    return held.share - held.public


def _product(at: int, session: Session) -> RingArray:
    return session.part(at, "product").astype(np.uint64, copy=False)
