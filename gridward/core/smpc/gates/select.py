"""The larger of two values: ReLU and max-pool, from the sign of a masked value.

For t = P - rho modulo 2^w, with P public: the sign is msb P ^ msb rho ^ [P_low < rho_low]. The dealer's bit
beta = flip ^ msb rho hides the sign when it is opened; ``flip`` is drawn, so beta costs no correction bit.
"""

from collections.abc import Generator

import numpy as np

from gridward.core.smpc.correlations import SlotArray, compared
from gridward.core.smpc.gate import PairMax, Relu
from gridward.core.smpc.gates.compare import less_than
from gridward.core.smpc.program import SlotKind
from gridward.core.smpc.ring import BitArray, RingArray
from gridward.core.smpc.session import Held, Opening, Session, Steps


def relu(at: int, gate: Relu, session: Session) -> Steps:
    """Give the larger of x and 0.

    Security: opens bits masked by dealer bits. Cost: 1 round a level of the comparison, and 1; its bits.
    Scale: kept; needs -2^(bits-1) <= x < 2^(bits-1).
    """
    held = session.values[gate.sources[0]]
    public = _flat(session.public(gate.sources[0]))
    flips = yield from _signs(at, gate, session, public)
    carried = None
    if (coefficient := session.coefficient(gate.sources[0])) is not None:
        carried = (_flat(coefficient), session.flat(at, "beta_carry"))
    beta, hidden = session.words(at, "beta"), session.words(at, "beta_mask")
    chosen = session.kernels.select(_flat(held.share), public, beta, hidden, flips, carried)
    return Held(chosen.reshape(held.share.shape))


def pair_max(at: int, gate: PairMax, session: Session) -> Steps:
    """Give the larger of neighbours on the first axis: right + relu(left - right).

    Security and cost: as ``relu``, for half as many elements. The difference of two masked values is masked
    already, so nothing is opened before the comparison.
    """
    held = session.values[gate.sources[0]]
    left, right = pairs(session.public(gate.sources[0]))
    public = (left - right).reshape(len(left), -1)
    flips = yield from _signs(at, gate, session, public.reshape(-1))
    carried = None
    if (coefficient := session.coefficient(gate.sources[0])) is not None:
        carries = [session.part(at, name).reshape(public.shape) for name in ("beta_carry0", "beta_carry1")]
        carried = (_paired(coefficient, public), carries[0], carries[1])
    beta, hidden = (session.words(at, name).reshape(public.shape) for name in ("beta", "beta_mask"))
    share = _paired(held.share, public)
    chosen = session.kernels.larger(share, public, beta, hidden, flips, carried).reshape(left.shape)
    odd = held.share[2 * len(left) :]
    return Held(np.concatenate([chosen, odd]) if len(odd) else chosen)


def pairs(words: RingArray) -> tuple[RingArray, RingArray]:
    """Split the first axis into neighbours; an odd last one is left out."""
    even = len(words) - len(words) % 2
    return words[0:even:2], words[1:even:2]


def _flat(words: RingArray) -> RingArray:
    return np.ascontiguousarray(words).reshape(-1)


def _paired(words: RingArray, differences: RingArray) -> RingArray:
    """View neighbours as (pairs, 2, n)."""
    count, width = differences.shape
    return np.ascontiguousarray(words[: 2 * count]).reshape(count, 2, width)


def _signs(
    at: int, gate: Relu | PairMax, session: Session, public: RingArray
) -> Generator[Opening, SlotArray, BitArray]:
    """Open the sign of P - rho, flipped by the dealer's bit: packed bits."""
    masked = (yield from less_than(session, at, public, compared(gate))) ^ session.bits(at, "flip")
    if session.first:
        masked ^= session.kernels.pack_bit(public, gate.bits - 1)
    flips = yield Opening(SlotKind.XOR, masked)
    opened: BitArray = flips[0].astype(np.uint8, copy=False)
    return opened
