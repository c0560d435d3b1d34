"""Kernels on whole words, element by element: masking, truncation and selection, one pass each."""

import numpy as np

from gridward.core.smpc.kernels.seam import Table
from gridward.core.smpc.kernels.target import compiled, compiled_for
from gridward.core.smpc.ring import HEADROOM_BITS, BitArray, RingArray

_CARRIES = ("u1", "u2", "u4", "u8")


@compiled("void(u8[::1], u8[::1], u8, u8[::1])")
def _add_mask(share: RingArray, mask: RingArray, offset: int, out: RingArray) -> None:
    for i in range(share.size):
        out[i] = share[i] + mask[i] + offset


@compiled_for(
    *(
        f"void(u8[::1], u8[::1], {carry}[::1], u8, u8, b1, u8, u8[::1], u1[::1], u8[::1])"
        for carry in _CARRIES
    )
)
def _truncate(
    opened: RingArray,
    high: RingArray,
    carry: Table,
    shift: int,
    offset: int,
    first: bool,
    ring_bits: int,
    public: RingArray,
    unwrapped: BitArray,
    share: RingArray,
) -> None:
    one = np.uint64(1)
    top = np.uint64(ring_bits - one)
    reach = np.uint64(ring_bits - shift)
    keep = ((one << top) - one) | (one << top)
    for i in range(opened.size):
        reduced = opened[i] & keep
        public[i] = (reduced >> shift) - offset
        below = one - (reduced >> top)
        unwrapped[i] = below
        share[i] = (below << reach) * np.uint64(carry[i]) - high[i] + (public[i] if first else np.uint64(0))


@compiled("void(u8[::1], u8[::1], u8[::1], u8[::1], u1[::1], u8[::1])")
def _select(
    share: RingArray, public: RingArray, beta: RingArray, hidden: RingArray, flips: BitArray, out: RingArray
) -> None:
    for i in range(share.size):
        product = beta[i] * public[i] - hidden[i]
        out[i] = product if flips[i] else share[i] - product


@compiled_for(
    *(
        f"void(u8[::1], u8[::1], u8[::1], u8[::1], u8[::1], {carry}[::1], u1[::1], u8[::1])"
        for carry in _CARRIES
    )
)
def _select_carried(
    share: RingArray,
    public: RingArray,
    beta: RingArray,
    hidden: RingArray,
    coefficient: RingArray,
    carry: Table,
    flips: BitArray,
    out: RingArray,
) -> None:
    for i in range(share.size):
        product = beta[i] * public[i] - hidden[i] + coefficient[i] * np.uint64(carry[i])
        out[i] = product if flips[i] else share[i] - product


@compiled("void(u8[:,:,::1], u8[:,::1], u8[:,::1], u8[:,::1], u1[:,::1], u8[:,::1])")
def _larger(
    share: RingArray, public: RingArray, beta: RingArray, hidden: RingArray, flips: BitArray, out: RingArray
) -> None:
    for pair in range(share.shape[0]):
        for i in range(share.shape[2]):
            right = share[pair, 1, i]
            product = beta[pair, i] * public[pair, i] - hidden[pair, i]
            difference = share[pair, 0, i] - right
            out[pair, i] = right + (product if flips[pair, i] else difference - product)


@compiled_for(
    *(
        "void(u8[:,:,::1], u8[:,::1], u8[:,::1], u8[:,::1], u8[:,:,::1], "
        f"{carry}[:,::1], {carry}[:,::1], u1[:,::1], u8[:,::1])"
        for carry in _CARRIES
    )
)
def _larger_carried(
    share: RingArray,
    public: RingArray,
    beta: RingArray,
    hidden: RingArray,
    coefficient: RingArray,
    left_carry: Table,
    right_carry: Table,
    flips: BitArray,
    out: RingArray,
) -> None:
    for pair in range(share.shape[0]):
        for i in range(share.shape[2]):
            right = share[pair, 1, i]
            product = beta[pair, i] * public[pair, i] - hidden[pair, i]
            product += coefficient[pair, 0, i] * np.uint64(left_carry[pair, i])
            product -= coefficient[pair, 1, i] * np.uint64(right_carry[pair, i])
            difference = share[pair, 0, i] - right
            out[pair, i] = right + (product if flips[pair, i] else difference - product)


def add_mask(share: RingArray, mask: RingArray, offset: int) -> RingArray:
    """Mask a share; see ``Kernels.add_mask``."""
    out = np.empty(share.shape, dtype=np.uint64)
    _add_mask(share.reshape(-1), mask.reshape(-1), offset, out.reshape(-1))
    return out


def truncate(
    opened: RingArray, high: RingArray, carry: Table, shift: int, first: bool, ring_bits: int
) -> tuple[RingArray, BitArray, RingArray]:
    """Truncate with a public coin; see ``Kernels.truncate``."""
    public, unwrapped, share = np.empty_like(opened), np.empty(opened.size, np.uint8), np.empty_like(opened)
    offset = 1 << (ring_bits - HEADROOM_BITS - shift)
    _truncate(opened, high, carry, shift, offset, first, ring_bits, public, unwrapped, share)
    return public, unwrapped, share


def select(
    share: RingArray,
    public: RingArray,
    beta: RingArray,
    hidden: RingArray,
    flips: BitArray,
    carried: tuple[RingArray, Table] | None,
) -> RingArray:
    """Select by a masked bit; see ``Kernels.select``."""
    out = np.empty_like(share)
    chosen = _unpacked(flips, share.size)
    if carried is None:
        _select(share, public, beta, hidden, chosen, out)
    else:
        _select_carried(share, public, beta, hidden, *carried, chosen, out)
    return out


def larger(
    share: RingArray,
    public: RingArray,
    beta: RingArray,
    hidden: RingArray,
    flips: BitArray,
    carried: tuple[RingArray, Table, Table] | None,
) -> RingArray:
    """Select the larger of neighbours by a masked bit; see ``Kernels.larger``."""
    out = np.empty_like(public)
    chosen = _unpacked(flips, public.size).reshape(public.shape)
    if carried is None:
        _larger(share, public, beta, hidden, chosen, out)
    else:
        _larger_carried(share, public, beta, hidden, *carried, chosen, out)
    return out


def _unpacked(bits: BitArray, count: int) -> BitArray:
    """Give a byte for each bit: vectors test bytes sooner than bits."""
    return np.unpackbits(bits, count=count, bitorder="little")
