"""Reals as ring words: v at scale s is the integer nearest to v * 2^s, ties to even, in two's complement.

Long arrays are worked on in stretches that stay in the cache: one pass over memory, whatever the steps.
"""

from collections.abc import Iterator
from math import isfinite
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridward.core.errors import OutOfRangeError
from gridward.core.smpc.ring import HEADROOM_BITS, RING_BITS, RingArray, signed

STRETCH: Final = 1 << 15
Reals = NDArray[np.floating]


def encode(values: ArrayLike, scale: int, bits: int = RING_BITS - HEADROOM_BITS + 1) -> RingArray:
    """Encode reals at ``scale`` fraction bits, to integers of at most ``bits`` bits with the sign.

    Raises ``OutOfRangeError`` on NaN, on infinities and on any value whose integer leaves
    (-2^(bits-1), 2^(bits-1)).
    """
    reals = np.ascontiguousarray(values, dtype=np.float64)
    require_fits(*extent(reals), scale, bits)
    words = np.empty(reals.shape, dtype=np.uint64)
    encode_into(reals.reshape(-1), scale, words.reshape(-1))
    return words


def extent(reals: Reals) -> tuple[float, float]:
    """Give the least and the largest of reals, 0 where there are none; raises as ``encode`` on NaN."""
    if not reals.size:
        return 0.0, 0.0
    with np.errstate(invalid="ignore"):
        low, high = float(reals.min()), float(reals.max())
    if not (isfinite(low) and isfinite(high)):  # a NaN is the least of all, and the largest
        raise OutOfRangeError("NaN and infinities have no fixed-point form")
    return low, high


def require_fits(low: float, high: float, scale: int, bits: int) -> None:
    """Raise ``OutOfRangeError`` unless reals from ``low`` to ``high`` can be encoded; see ``encode``."""
    with np.errstate(over="ignore"):
        bottom, top = np.rint(np.ldexp([low, high], scale))
    if max(top, -bottom) >= 2.0 ** (bits - 1):
        worst, limit = high if top >= -bottom else low, 2.0 ** (bits - 1 - scale)
        raise OutOfRangeError(
            f"{worst:g} does not fit: magnitudes stay below {limit:g} at {scale} fraction bits"
        )


def encode_into(reals: Reals, scale: int, words: RingArray) -> None:
    """Encode reals (n,) that fit, in the place of ``words`` (n,), of any byte order."""
    whole = words.view(words.dtype.str.replace("u", "i"))
    scratch = np.empty(min(STRETCH, reals.size))
    for part in stretches(reals.size):
        scaled = scratch[: part.stop - part.start]
        np.copyto(scaled, reals[part])
        np.rint(np.ldexp(scaled, scale, out=scaled), out=scaled)
        np.copyto(whole[part], scaled, casting="unsafe")


def decode(words: RingArray, scale: int) -> NDArray[np.float64]:
    """Turn ring words at ``scale`` fraction bits into reals; exact while they have at most 53 bits."""
    contiguous = np.ascontiguousarray(words)
    reals = np.empty(contiguous.shape)
    for part in stretches(contiguous.size):
        decode_into(contiguous.reshape(-1)[part], scale, reals.reshape(-1)[part])
    return reals


def decode_into(words: RingArray, scale: int, reals: NDArray[np.float64]) -> None:
    """Decode words (n,) in the place of ``reals`` (n,)."""
    np.copyto(reals, signed(words))
    np.ldexp(reals, -scale, out=reals)


def stretches(count: int) -> Iterator[slice]:
    """Cut ``count`` words into stretches."""
    return (slice(start, min(start + STRETCH, count)) for start in range(0, count, STRETCH))
