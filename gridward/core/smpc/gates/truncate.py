"""Division by 2^shift after a product, from one opening of y + 2^62 + R.

With P = (opened >> f) - 2^(62-f): z = P - (R >> f) + msb(R) * (1 - msb(opened)) * 2^(64-f) is the floor of
y / 2^f, or one above it where the low bits of R overflowed. The carry makes a wrap of the sum around 2^64
harmless, for every |y| < 2^62. The faithful form subtracts the overflow, found by comparison.
"""

from typing import Final

import numpy as np

from gridward.core.smpc.correlations import SlotArray, compared
from gridward.core.smpc.gate import Truncate, TruncateFaithful
from gridward.core.smpc.gates.compare import compare_blocks, merged
from gridward.core.smpc.program import SlotKind
from gridward.core.smpc.ring import HEADROOM_BITS, RING_BITS
from gridward.core.smpc.session import Held, Opening, Session, Steps

_PIECE_WORDS: Final = 1 << 16
"""Whole bytes of bits, and few enough words for the cache."""


def truncate(at: int, gate: Truncate, session: Session) -> Steps:
    """Truncate with a public rounding coin: to the floor or one above.

    Security: opens y + 2^62 + R with R uniform. Cost: 1 round; 8 bytes an element to each peer.
    Scale: lower by ``shift``; |y| < 2^62.
    """
    opened = yield _opening(at, gate, session)
    return _close(at, gate, session, opened)


def truncate_faithfully(at: int, gate: TruncateFaithful, session: Session) -> Steps:
    """Truncate to the floor, so that the result says nothing of the bits cut off.

    Security: as ``truncate``, and bits masked by dealer bits. Cost: 1 round more for each level of the
    comparison and 1 for the borrow; 8 bytes and some bits an element.
    """
    opened = yield _opening(at, gate, session)
    share = _close(at, gate, session, opened).share
    plan, count = compared(gate), opened.size
    bits = compare_blocks(session, at, opened.astype(np.uint64, copy=False).reshape(-1), plan)
    del opened  # not needed while bits are merged
    borrow = yield from merged(session, at, bits, plan)
    flips = yield Opening(SlotKind.XOR, borrow[None] ^ session.part(at, "flip"))
    # borrow = flip ^ bit with the bit shared arithmetically: flip + (1 - 2 flip) * bit
    flipped, bit = flips.astype(np.uint8, copy=False), session.words(at, "beta")
    flat, one = share.reshape(-1), np.full(min(_PIECE_WORDS, count), int(session.first), dtype=np.uint64)
    for start in range(0, count, _PIECE_WORDS):
        end = min(start + _PIECE_WORDS, count)
        bits = flipped[:, start // 8 : -(-end // 8)]
        flat[start:end] -= session.kernels.weigh_bits(bits, bit[None, start:end], one[: end - start])
    return Held(share)


def _opening(at: int, gate: Truncate | TruncateFaithful, session: Session) -> Opening:
    share = np.ascontiguousarray(session.last(gate.sources[0]).share)
    offset = 1 << (RING_BITS - HEADROOM_BITS) if session.first else 0
    return Opening(SlotKind.SUM, session.kernels.add_mask(share, session.whole(at, "mask"), offset))


def _close(at: int, gate: Truncate | TruncateFaithful, session: Session, opened: SlotArray) -> Held:
    flat = opened.astype(np.uint64, copy=False).reshape(-1)
    public, unwrapped, share = session.kernels.truncate(
        flat, session.words(at, "high"), session.flat(at, "carry"), gate.shift, session.first, RING_BITS
    )
    shape = opened.shape
    return Held(share.reshape(shape), public.reshape(shape), unwrapped.reshape(shape))
