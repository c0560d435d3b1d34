"""The larger of two values: ReLU and max-pool, from the sign of a masked value.

For t = P - rho modulo 2^w, with P public: the sign is msb P ^ msb rho ^ [P_low < rho_low]. The dealer's bit
beta = flip ^ msb rho hides the sign when it is opened; ``flip`` is drawn, so beta costs no correction bit.
"""

from collections.abc import Generator

import numpy as np

from gridward.core.smpc.correlations import SlotArray, compared
from gridward.core.smpc.gate import PairMax, Relu
from gridward.core.smpc.gates.compare import less_than, top_bits
from gridward.core.smpc.program import SlotKind
from gridward.core.smpc.ring import RingArray, word
from gridward.core.smpc.session import Held, Opening, Session, Steps


def relu(at: int, gate: Relu, session: Session) -> Steps:
    """Give the larger of x and 0.

    Security: opens bits masked by dealer bits. Cost: 1 round a level of the comparison, and 1; its bits.
    Scale: kept; needs -2^(bits-1) <= x < 2^(bits-1).
    """
    held = session.values[gate.sources[0]]
    public = session.public(gate.sources[0])
    carried = np.zeros_like(public)
    if held.coefficient is not None:
        carried = held.coefficient * _part(session, at, "beta_carry", public)
    return Held((yield from _positive(at, gate, session, held.share, public, carried)))


def pair_max(at: int, gate: PairMax, session: Session) -> Steps:
    """Give the larger of neighbours on the first axis: right + relu(left - right).

    Security and cost: as ``relu``, for half as many elements. The difference of two masked values is masked
    already, so nothing is opened before the comparison.
    """
    held = session.values[gate.sources[0]]
    left, right = pairs(session.public(gate.sources[0]))
    left_share, right_share = pairs(held.share)
    carried = np.zeros_like(left)
    if held.coefficient is not None:
        left_coefficient, right_coefficient = pairs(held.coefficient)
        carried = left_coefficient * _part(session, at, "beta_carry0", left)
        carried -= right_coefficient * _part(session, at, "beta_carry1", left)
    larger = yield from _positive(at, gate, session, left_share - right_share, left - right, carried)
    larger = larger + right_share
    return Held(np.concatenate([larger, held.share[2 * len(larger) :]]))


def pairs(words: RingArray) -> tuple[RingArray, RingArray]:
    """Split the first axis into neighbours; an odd last one is left out."""
    even = len(words) - len(words) % 2
    return words[0:even:2], words[1:even:2]


def _part(session: Session, at: int, name: str, like: RingArray) -> RingArray:
    return session.words(at, name).reshape(like.shape)


def _positive(
    at: int, gate: Relu | PairMax, session: Session, share: RingArray, public: RingArray, carried: RingArray
) -> Generator[Opening, SlotArray, RingArray]:
    flat = np.ascontiguousarray(public).reshape(-1)
    low = flat & word((1 << (gate.bits - 1)) - 1)
    sign = yield from less_than(session, at, low, compared(gate))
    masked = sign[None] ^ session.part(at, "flip")
    if session.first:
        masked = masked ^ top_bits(flat, gate.bits)
    flips = yield Opening(SlotKind.XOR, masked)
    beta = session.words(at, "beta")
    hidden = session.words(at, "beta_mask") - carried.reshape(-1)
    chosen = session.kernels.select(
        np.ascontiguousarray(share).reshape(-1), flat, beta, hidden, flips[0].astype(np.uint8, copy=False)
    )
    return chosen.reshape(share.shape)
