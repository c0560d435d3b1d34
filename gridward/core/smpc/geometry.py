"""Index arithmetic of windows: convolution as a matrix product, and pooling. It never looks at a word."""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from gridward.core.smpc.gate import Convolution, Pair, Shape, SumPool, Windows
from gridward.core.smpc.ring import RingArray


def window_count(
    size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool = False
) -> int:
    """Count the places of a window along an axis as torch does; below 1 where it does not fit."""
    span = size + 2 * padding - dilation * (kernel - 1) - 1
    count = (span + stride - 1 if ceil_mode else span) // stride + 1
    if ceil_mode and (count - 1) * stride >= size + padding:
        count -= 1
    return count


def _padded(words: RingArray, padding: Pair) -> RingArray:
    rows, columns = padding
    if rows == columns == 0:
        return words
    return np.pad(words, ((0, 0), (0, 0), (rows, rows), (columns, columns)))


def _slices(padded: RingArray, kernel: Pair, stride: Pair, dilation: Pair, out: Pair) -> Iterator[RingArray]:
    for row in range(kernel[0]):
        for column in range(kernel[1]):
            top, left = row * dilation[0], column * dilation[1]
            bottom = top + (out[0] - 1) * stride[0] + 1
            right = left + (out[1] - 1) * stride[1] + 1
            yield padded[:, :, top : bottom : stride[0], left : right : stride[1]]


def columns_of(words: RingArray, gate: Convolution, kernel: Pair, out: Pair) -> RingArray:
    """Lay an image (n, c, h, w) out as (groups, c/groups * kh * kw, n * oh * ow): a column for each place."""
    n, channels = words.shape[:2]
    padded = _padded(words, gate.padding)
    taps = np.stack(list(_slices(padded, kernel, gate.stride, gate.dilation, out)))
    grouped = taps.reshape(kernel[0] * kernel[1], n, gate.groups, channels // gate.groups, out[0] * out[1])
    moved = grouped.transpose(2, 3, 0, 1, 4)
    return np.ascontiguousarray(moved).reshape(gate.groups, -1, n * out[0] * out[1])


def image_of(products: RingArray, shape: Shape) -> RingArray:
    """Turn (groups, o/groups, n * oh * ow) into an image of ``shape`` (n, o, oh, ow)."""
    n, channels, rows, columns = shape
    stacked = products.reshape(channels, n, rows, columns)
    return np.ascontiguousarray(stacked.transpose(1, 0, 2, 3))


def sum_pool(words: RingArray, gate: SumPool, out: Pair) -> RingArray:
    """Add the words of each window."""
    padded = _padded(words, gate.padding)
    slices = _slices(padded, gate.kernel, gate.stride, (1, 1), out)
    total = np.zeros((*words.shape[:2], *out), dtype=np.uint64)
    for part in slices:
        total += part
    return total


def _taps(
    size: int, kernel: int, stride: int, padding: int, dilation: int, count: int
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Give each window's places along an axis, and which of them are not padding."""
    starts = np.arange(count, dtype=np.intp)[:, None] * stride - padding
    rows = starts + np.arange(kernel, dtype=np.intp)[None, :] * dilation
    return rows, (rows >= 0) & (rows < size)


def every_window_has_a_value(
    size: int, kernel: int, stride: int, padding: int, dilation: int, count: int
) -> bool:
    """Say whether no window lies in the padding alone; only those that begin in it, and the last, could."""
    early = np.arange(min(count, padding // stride + 1), dtype=np.intp) * stride - padding
    skipped = np.maximum(-(early // dilation), 0)
    inside = (skipped < kernel) & (early + skipped * dilation < size)
    return bool(inside.all()) and (count - 1) * stride - padding < size


@lru_cache(maxsize=256)
def _places(size: int, kernel: int, stride: int, padding: int, dilation: int, count: int) -> NDArray[np.intp]:
    rows, inside = _taps(size, kernel, stride, padding, dilation, count)
    first = np.argmax(inside, axis=1)[:, None]
    places = np.where(inside, rows, np.take_along_axis(rows, first, axis=1)).astype(np.intp)
    places.setflags(write=False)
    return places


def windows(words: RingArray, gate: Windows, out: Pair) -> RingArray:
    """Put the candidates of every window on a new first axis: (kh * kw, n, c, oh, ow).

    Places in the padding repeat the window's first inner one, which changes no maximum.
    """
    axes = zip(words.shape[2:], gate.kernel, gate.stride, gate.padding, gate.dilation, out, strict=True)
    rows, columns = (_places(*axis) for axis in axes)
    picked = words[:, :, rows[:, None, :, None], columns[None, :, None, :]]
    moved = picked.transpose(4, 5, 0, 1, 2, 3)
    return np.ascontiguousarray(moved).reshape(-1, *words.shape[:2], *out)
