"""Division by 2^shift after a product, from one opening of y + 2^62 + R.

With P = (opened >> f) - 2^(62-f): z = P - (R >> f) + msb(R) * (1 - msb(opened)) * 2^(64-f) is the floor of
y / 2^f, or one above it where the low bits of R overflowed. The carry makes a wrap of the sum around 2^64
harmless, for every |y| < 2^62. The faithful form subtracts the overflow, found by comparison.
"""

import numpy as np

from gridward.core.smpc.correlations import SlotArray, compared
from gridward.core.smpc.gate import Truncate, TruncateFaithful
from gridward.core.smpc.gates.compare import less_than
from gridward.core.smpc.program import SlotKind
from gridward.core.smpc.ring import HEADROOM_BITS, RING_BITS, RingArray
from gridward.core.smpc.session import Held, Opening, Session, Steps


def truncate(at: int, gate: Truncate, session: Session) -> Steps:
    """Truncate with a public rounding coin: to the floor or one above.

    Security: opens y + 2^62 + R with R uniform. Cost: 1 round; 8 bytes an element to each peer.
    Scale: lower by ``shift``; |y| < 2^62.
    """
    opened = yield _opening(at, gate, session)
    held, _ = _close(at, gate, session, opened)
    return held


def truncate_faithfully(at: int, gate: TruncateFaithful, session: Session) -> Steps:
    """Truncate to the floor, so that the result says nothing of the bits cut off.

    Security: as ``truncate``, and bits masked by dealer bits. Cost: 1 round more for each level of the
    comparison and 1 for the borrow; 8 bytes and some bits an element.
    """
    opened = yield _opening(at, gate, session)
    held, flat = _close(at, gate, session, opened)
    borrow = yield from less_than(session, at, flat, compared(gate))
    flips = yield Opening(SlotKind.XOR, borrow[None] ^ session.part(at, "flip"))
    # borrow = flip ^ bit with the bit shared arithmetically: flip + (1 - 2 flip) * bit
    one = np.full(flat.size, int(session.first), dtype=np.uint64)
    opened_flips = flips.astype(np.uint8, copy=False)
    shared = session.kernels.weigh_bits(opened_flips, session.words(at, "beta")[None], one)
    share = held.share
    share -= shared.reshape(share.shape)
    return Held(share)


def _opening(at: int, gate: Truncate | TruncateFaithful, session: Session) -> Opening:
    share = np.ascontiguousarray(session.last_share(gate.sources[0]))
    offset = 1 << (RING_BITS - HEADROOM_BITS) if session.first else 0
    return Opening(SlotKind.SUM, session.kernels.add_mask(share, session.whole(at, "mask"), offset))


def _close(
    at: int, gate: Truncate | TruncateFaithful, session: Session, opened: SlotArray
) -> tuple[Held, RingArray]:
    flat = opened.astype(np.uint64, copy=False).reshape(-1)
    public, coefficient, share = session.kernels.truncate(
        flat, session.words(at, "high"), session.flat(at, "carry"), gate.shift, session.first, RING_BITS
    )
    shape = opened.shape
    return Held(share.reshape(shape), public.reshape(shape), coefficient.reshape(shape)), flat
