"""Reals as ring words: v at scale s is the integer nearest to v * 2^s, ties to even, in two's complement."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridward.core.errors import OutOfRangeError
from gridward.core.smpc.ring import HEADROOM_BITS, RING_BITS, RingArray, signed, unsigned


def encode(values: ArrayLike, scale: int, bits: int = RING_BITS - HEADROOM_BITS + 1) -> RingArray:
    """Encode reals at ``scale`` fraction bits, to integers of at most ``bits`` bits with the sign.

    Raises ``OutOfRangeError`` on NaN, on infinities and on any value whose integer leaves
    (-2^(bits-1), 2^(bits-1)).
    """
    reals = np.asarray(values, dtype=np.float64)
    if not np.all(np.isfinite(reals)):
        raise OutOfRangeError("NaN and infinities have no fixed-point form")
    scaled = np.asarray(np.ldexp(reals, scale))
    np.rint(scaled, out=scaled)
    if scaled.size and max(scaled.max(), -scaled.min()) >= 2.0 ** (bits - 1):
        worst = float(reals.flat[np.argmax(np.abs(scaled))])
        limit = 2.0 ** (bits - 1 - scale)
        raise OutOfRangeError(
            f"{worst:g} does not fit: magnitudes stay below {limit:g} at {scale} fraction bits"
        )
    return unsigned(np.ascontiguousarray(scaled.astype(np.int64)))


def decode(words: RingArray, scale: int) -> NDArray[np.float64]:
    """Turn ring words at ``scale`` fraction bits into reals; exact while they have at most 53 bits."""
    return np.ldexp(signed(np.ascontiguousarray(words)).astype(np.float64), -scale)
