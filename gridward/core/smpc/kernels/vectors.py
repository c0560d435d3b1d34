"""Ring products by vectors of 64-bit words on one core: for any processor and any shape.

Columns are gathered 128 at a time, 512 places along k, into scratch that stays in the second-level cache;
four rows of the fixed operand pass over four places along k at a time.
"""

import threading
from typing import Final

import numpy as np

from gridward.core.smpc.kernels.seam import Gather, Places
from gridward.core.smpc.kernels.target import compiled, compiled_late
from gridward.core.smpc.ring import RingArray

COLUMNS: Final = 128
PIECE: Final = 512
_ROWS: Final = 4


class _Scratch(threading.local):
    """What a thread gathers columns into, kept between products."""

    def __init__(self) -> None:
        self.columns = np.zeros((PIECE, COLUMNS), dtype=np.uint64)
        self.lines = np.zeros((_ROWS, COLUMNS), dtype=np.uint64)


_scratch = _Scratch()


@compiled_late
def _gather(words: RingArray, start: int, taps: Places, places: Places, columns: RingArray) -> None:
    width = places.size
    dense = places[width - 1] - places[0] == width - 1
    for k in range(taps.size):
        begin = start + taps[k]
        if dense:
            begin += places[0]
            for p in range(width):
                columns[k, p] = words[begin + p]
        else:
            for p in range(width):
                columns[k, p] = words[begin + places[p]]


@compiled_late
def _four_lines(
    rows: RingArray, row: int, first: int, depth: int, columns: RingArray, width: int, lines: RingArray
) -> None:
    a, b, c, d = rows[row], rows[row + 1], rows[row + 2], rows[row + 3]
    out0, out1, out2, out3 = lines[0], lines[1], lines[2], lines[3]
    blocked = depth - depth % 4
    for k in range(0, blocked, 4):
        at = first + k
        a0, a1, a2, a3 = a[at], a[at + 1], a[at + 2], a[at + 3]
        b0, b1, b2, b3 = b[at], b[at + 1], b[at + 2], b[at + 3]
        c0, c1, c2, c3 = c[at], c[at + 1], c[at + 2], c[at + 3]
        d0, d1, d2, d3 = d[at], d[at + 1], d[at + 2], d[at + 3]
        x0, x1, x2, x3 = columns[k], columns[k + 1], columns[k + 2], columns[k + 3]
        for p in range(width):
            y0, y1, y2, y3 = x0[p], x1[p], x2[p], x3[p]
            out0[p] += a0 * y0 + a1 * y1 + a2 * y2 + a3 * y3
            out1[p] += b0 * y0 + b1 * y1 + b2 * y2 + b3 * y3
            out2[p] += c0 * y0 + c1 * y1 + c2 * y2 + c3 * y3
            out3[p] += d0 * y0 + d1 * y1 + d2 * y2 + d3 * y3
    for k in range(blocked, depth):
        x0 = columns[k]
        for p in range(width):
            out0[p] += a[first + k] * x0[p]
            out1[p] += b[first + k] * x0[p]
            out2[p] += c[first + k] * x0[p]
            out3[p] += d[first + k] * x0[p]


@compiled_late
def _one_line(row: RingArray, columns: RingArray, width: int, line: RingArray) -> None:
    blocked = row.size - row.size % 4
    for k in range(0, blocked, 4):
        a0, a1, a2, a3 = row[k], row[k + 1], row[k + 2], row[k + 3]
        x0, x1, x2, x3 = columns[k], columns[k + 1], columns[k + 2], columns[k + 3]
        for p in range(width):
            line[p] += a0 * x0[p] + a1 * x1[p] + a2 * x2[p] + a3 * x3[p]
    for k in range(blocked, row.size):
        x0 = columns[k]
        for p in range(width):
            line[p] += row[k] * x0[p]


@compiled_late
def _add_line(line: RingArray, out: RingArray, start: int, targets: Places) -> None:
    width = targets.size
    if targets[width - 1] - targets[0] == width - 1:
        begin = start + targets[0]
        for p in range(width):
            out[begin + p] += line[p]
    else:
        for p in range(width):
            out[start + targets[p]] += line[p]


@compiled(
    "void(u8[:,:,::1], u8[::1], i8[::1], i8[::1], i8[::1], "
    "u8[::1], i8[::1], i8, i8[::1], u8[:,::1], u8[:,::1])"
)
def _multiply(
    rows: RingArray,
    words: RingArray,
    starts: Places,
    taps: Places,
    places: Places,
    out: RingArray,
    outs: Places,
    row_stride: int,
    targets: Places,
    columns: RingArray,
    lines: RingArray,
) -> None:
    groups, count, depth = rows.shape
    for group in range(groups):
        for left in range(0, places.size, COLUMNS):
            width = min(COLUMNS, places.size - left)
            aims = targets[left : left + width]
            for first in range(0, depth, PIECE):
                deep = min(PIECE, depth - first)
                _gather(
                    words, starts[group], taps[first : first + deep], places[left : left + width], columns
                )
                for row in range(0, count - count % _ROWS, _ROWS):
                    lines[:] = 0
                    _four_lines(rows[group], row, first, deep, columns, width, lines)
                    for at in range(_ROWS):
                        _add_line(lines[at], out, outs[group] + (row + at) * row_stride, aims)
                for row in range(count - count % _ROWS, count):
                    lines[0, :] = 0
                    _one_line(rows[group, row, first : first + deep], columns, width, lines[0])
                    _add_line(lines[0], out, outs[group] + row * row_stride, aims)


@compiled("void(u8[:,::1], u8[::1], i8, i8[::1], u8[::1], i8, i8, i8[::1])")
def _multiply_along(
    rows: RingArray,
    words: RingArray,
    start: int,
    places: Places,
    out: RingArray,
    begin: int,
    row_stride: int,
    targets: Places,
) -> None:
    depth = rows.shape[1]
    blocked = rows.shape[0] - rows.shape[0] % 4
    zero = np.uint64(0)
    for p in range(places.size):
        x = words[start + places[p] : start + places[p] + depth]
        at = begin + targets[p]
        for row in range(0, blocked, 4):
            a, b, c, d = rows[row], rows[row + 1], rows[row + 2], rows[row + 3]
            s0 = s1 = s2 = s3 = zero
            for k in range(depth):
                y = x[k]
                s0 += a[k] * y
                s1 += b[k] * y
                s2 += c[k] * y
                s3 += d[k] * y
            out[at + row * row_stride] += s0
            out[at + (row + 1) * row_stride] += s1
            out[at + (row + 2) * row_stride] += s2
            out[at + (row + 3) * row_stride] += s3
        for row in range(blocked, rows.shape[0]):
            s0 = zero
            for k in range(depth):
                s0 += rows[row, k] * x[k]
            out[at + row * row_stride] += s0


def multiply(rows: RingArray, words: RingArray, gather: Gather, out: RingArray) -> None:
    """Add a product to ``out``; see ``Kernels.multiply``."""
    _multiply(
        rows,
        words,
        gather.starts,
        gather.taps,
        gather.places,
        out,
        gather.outs,
        gather.row_stride,
        gather.targets,
        _scratch.columns,
        _scratch.lines,
    )


def multiply_along(rows: RingArray, words: RingArray, gather: Gather, out: RingArray) -> None:
    """Add a product to ``out`` where columns lie along k: sums of products, without gathering."""
    for group, fixed in enumerate(rows):
        start, begin = int(gather.starts[group]), int(gather.outs[group])
        _multiply_along(fixed, words, start, gather.places, out, begin, gather.row_stride, gather.targets)
