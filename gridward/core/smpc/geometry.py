"""Index arithmetic of windows: convolution as a product of gathered columns, and pooling."""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from gridward.core.smpc.gate import Convolution, Pair, Shape, SumPool, Windows
from gridward.core.smpc.kernels.seam import Gather
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


def padded(words: RingArray, padding: Pair) -> RingArray:
    """Put zeros around images (n, c, h, w); contiguous, and not always a copy."""
    rows, columns = padding
    if rows == columns == 0:
        return np.ascontiguousarray(words)
    n, channels, height, width = words.shape
    out = np.zeros((n, channels, height + 2 * rows, width + 2 * columns), dtype=np.uint64)
    out[:, :, rows : rows + height, columns : columns + width] = words
    return out


def _slices(padded: RingArray, kernel: Pair, stride: Pair, dilation: Pair, out: Pair) -> Iterator[RingArray]:
    for row in range(kernel[0]):
        for column in range(kernel[1]):
            top, left = row * dilation[0], column * dilation[1]
            bottom = top + (out[0] - 1) * stride[0] + 1
            right = left + (out[1] - 1) * stride[1] + 1
            yield padded[:, :, top : bottom : stride[0], left : right : stride[1]]


def convolution_gather(image: Shape, gate: Convolution, kernel: Pair, result: Shape) -> Gather:
    """Say where the product of a convolution finds its windows in ``padded`` images (n, c, h, w).

    The fixed operand is (groups, o / groups, c / groups * kh * kw); the result (n, o, oh, ow).
    """
    rows, columns = image[2] + 2 * gate.padding[0], image[3] + 2 * gate.padding[1]
    whole = (image[0], image[1], rows, columns)
    return _convolution_gather(whole, kernel, gate.stride, gate.dilation, gate.groups, result)


@lru_cache(maxsize=256)
def _convolution_gather(
    image: Shape, kernel: Pair, stride: Pair, dilation: Pair, groups: int, result: Shape
) -> Gather:
    n, channels, rows, columns = image
    area, out_area = rows * columns, result[2] * result[3]
    inside = _grid((channels // groups, area), (kernel[0], dilation[0] * columns), (kernel[1], dilation[1]))
    windows = _grid((n, channels * area), (result[2], stride[0] * columns), (result[3], stride[1]))
    starts = np.arange(groups, dtype=np.int64) * (channels // groups * area)
    outs = np.arange(groups, dtype=np.int64) * (result[1] // groups * out_area)
    targets = _grid((n, result[1] * out_area), (out_area, 1))
    return Gather(starts, inside, windows, outs, out_area, targets)


def _grid(*axes: Pair) -> NDArray[np.int64]:
    """Give the sums of one multiple from every axis (count, step), the last axis fastest."""
    total = np.zeros(1, dtype=np.int64)
    for count, step in axes:
        total = (total[:, None] + np.arange(count, dtype=np.int64) * step).reshape(-1)
    return total


def sum_pool(words: RingArray, gate: SumPool, out: Pair) -> RingArray:
    """Add the words of each window."""
    slices = _slices(padded(words, gate.padding), gate.kernel, gate.stride, (1, 1), out)
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


@lru_cache(maxsize=256)
def _candidates(
    image: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, out: Pair
) -> NDArray[np.intp]:
    """Give the place of every window's candidates in a plane: (kh * kw, oh * ow)."""
    rows, columns = (
        _places(*axis) for axis in zip(image, kernel, stride, padding, dilation, out, strict=True)
    )
    places = rows.T[:, None, :, None] * image[1] + columns.T[None, :, None, :]
    return np.ascontiguousarray(places).reshape(kernel[0] * kernel[1], -1)


def windows(words: RingArray, gate: Windows, out: Pair) -> RingArray:
    """Put the candidates of every window on a new first axis: (kh * kw, n, c, oh, ow).

    Places in the padding repeat the window's first inner one, which changes no maximum.
    """
    n, channels, height, width = words.shape
    places = _candidates((height, width), gate.kernel, gate.stride, gate.padding, gate.dilation, out)
    planes = np.ascontiguousarray(words).reshape(n * channels, height * width)
    picked = np.empty((len(places), n * channels, places.shape[1]), dtype=words.dtype)
    for at, of_tap in enumerate(places):
        np.take(planes, of_tap, axis=1, out=picked[at], mode="clip")  # other modes copy once more
    return picked.reshape(len(places), n, channels, *out)
