"""Ring products by 8-bit tiles: words cut into eight balanced digits of base 256, multiplied on AMX units.

With x = sum of x_d 256^d and -128 <= x_d < 128, digit s of a product is the sum over d of x_d y_(s-d), which
counts modulo 2^(64-8s): 36 products of digits make one of words. The fixed operand is cut once; the other is
gathered and cut, 64 columns at a time, before all rows pass over it.

Nothing is compiled before it is first called: only for processors that have tiles.
"""

import threading
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gridward.core.smpc.kernels.seam import Gather, Places
from gridward.core.smpc.kernels.target import compiled_late
from gridward.core.smpc.kernels.tile_intrinsics import (
    DEPTH,
    DIGITS,
    ROWS,
    TILE_BYTES,
    clear,
    configuration,
    configure,
    cut,
    cut_turned,
    high_products,
    low_products,
    release,
    store,
)
from gridward.core.smpc.ring import RingArray

COLUMNS: Final = 64
PIECE: Final = 32
"""Blocks along k between additions: sums of four digits' products of 2^14 fit 32 bits up to 2^15 places."""

_BLOCK_BYTES: Final = DIGITS * TILE_BYTES
_ALIGNED: Final = 64
_WORD_BYTES: Final = 8
_SCRATCH_BYTES: Final = COLUMNS // ROWS * PIECE * _BLOCK_BYTES
_SUMS_BYTES: Final = DIGITS * TILE_BYTES

Blocks = NDArray[np.uint8]


def _blocks_of(count: int, size: int) -> int:
    return -(-count // size)


def _aligned(count: int) -> Blocks:
    """Give zeroed bytes that begin where tiles load fast."""
    whole = np.zeros(count + _ALIGNED, dtype=np.uint8)
    start = -whole.ctypes.data % _ALIGNED
    return whole[start : start + count]


class _Scratch(threading.local):
    """What a thread cuts columns into, kept between products: fresh pages cost more than a small product."""

    def __init__(self) -> None:
        self.blocks = _aligned(_SCRATCH_BYTES)
        self.sums = _aligned(_SUMS_BYTES).view(np.int32).reshape(DIGITS, ROWS * ROWS)
        self.quad = np.zeros(4 * ROWS, dtype=np.uint64)
        self.zeros = np.zeros(ROWS, dtype=np.uint64)
        self.layout = configuration()


_scratch = _Scratch()


@compiled_late
def _address(array: NDArray[Any]) -> np.uint64:
    """Say where an array lies; a caller keeps the array alive."""
    return np.uint64(array.ctypes.data)


@compiled_late
def _cut_rows(rows: RingArray, blocks: Blocks, line: RingArray) -> None:
    """Cut (r, k) words into blocks, row blocks outermost; what lies beyond r and k stays zero."""
    depth = -(-rows.shape[1] // DEPTH)
    for row in range(rows.shape[0]):
        for piece in range(depth):
            first = piece * DEPTH
            count = min(DEPTH, rows.shape[1] - first)
            line[:count] = rows[row, first : first + count]
            line[count:] = 0
            place = ((row // ROWS) * depth + piece) * _BLOCK_BYTES + row % ROWS * DEPTH
            cut(_address(line), _address(blocks) + np.uint64(place))


@compiled_late
def _tap(words: np.uint64, taps: Places, at: int, zeros: np.uint64) -> np.uint64:
    """Say where the columns' words at a place along k lie; zeros beyond the last."""
    return words + np.uint64(_WORD_BYTES * taps[at]) if at < taps.size else zeros


@compiled_late
def _cut_dense(words: np.uint64, zeros: np.uint64, taps: Places, first: int, tiles: np.uint64) -> None:
    """Cut 64 places along k of 16 columns that lie one after another from ``words``."""
    for part in range(ROWS):
        at = first + 4 * part
        cut_turned(
            _tap(words, taps, at, zeros),
            _tap(words, taps, at + 1, zeros),
            _tap(words, taps, at + 2, zeros),
            _tap(words, taps, at + 3, zeros),
            tiles + np.uint64(part * DEPTH),
        )


@compiled_late
def _cut_sparse(
    words: RingArray, start: int, taps: Places, first: int, places: Places, quad: RingArray, tiles: np.uint64
) -> None:
    """Cut 64 places along k of up to 16 columns from anywhere; beyond the last column any words."""
    base, line = _address(quad), np.uint64(ROWS * _WORD_BYTES)
    for part in range(ROWS):
        for row in range(4):
            at = first + 4 * part + row
            if at >= taps.size:
                quad[row * ROWS : (row + 1) * ROWS] = 0
                continue
            for column in range(places.size):
                quad[row * ROWS + column] = words[start + taps[at] + places[column]]
        target = tiles + np.uint64(part * DEPTH)
        cut_turned(base, base + line, base + line + line, base + line + line + line, target)


@compiled_late
def _cut_columns(
    words: RingArray,
    start: int,
    taps: Places,
    places: Places,
    begin: int,
    pieces: int,
    blocks: Blocks,
    quad: RingArray,
    zeros: RingArray,
) -> None:
    """Cut up to 64 columns, ``pieces`` blocks along k from block ``begin``; column blocks outermost."""
    for first in range(0, places.size, ROWS):
        near = places[first : first + ROWS]
        dense = near.size == ROWS and near[ROWS - 1] - near[0] == ROWS - 1
        source = _address(words) + np.uint64(_WORD_BYTES * (start + near[0]))
        for piece in range(pieces):
            tiles = _address(blocks) + np.uint64((first // ROWS * pieces + piece) * _BLOCK_BYTES)
            tap = (begin + piece) * DEPTH
            if dense:
                _cut_dense(source, _address(zeros), taps, tap, tiles)
            else:
                _cut_sparse(words, start, taps, tap, near, quad, tiles)


@compiled_late
def _multiply_blocks(left: np.uint64, right: np.uint64, pieces: int, sums: np.uint64) -> None:
    """Multiply 16 rows by 16 columns, and leave the sums of all eight digits."""
    clear()
    for piece in range(pieces):
        at = np.uint64(piece * _BLOCK_BYTES)
        low_products(left + at, right + at)
    store(sums)
    clear()
    for piece in range(pieces):
        at = np.uint64(piece * _BLOCK_BYTES)
        high_products(left + at, right + at)
    store(sums + np.uint64(DIGITS // 2 * TILE_BYTES))


@compiled_late
def _add_up(
    sums: NDArray[np.int32], rows: int, out: NDArray[np.int64], start: int, row_stride: int, targets: Places
) -> None:
    """Join the digits of a (16, 16) product to words and add ``rows`` of them where they belong."""
    line = np.empty(ROWS, dtype=np.int64)
    dense = targets.size == ROWS and targets[ROWS - 1] - targets[0] == ROWS - 1
    for row in range(rows):
        for column in range(ROWS):
            at = row * ROWS + column
            low = np.int64(sums[0, at]) + (np.int64(sums[1, at]) << 8)
            low += (np.int64(sums[2, at]) << 16) + (np.int64(sums[3, at]) << 24)
            high = np.int64(sums[4, at]) + (np.int64(sums[5, at]) << 8)
            high += (np.int64(sums[6, at]) << 16) + (np.int64(sums[7, at]) << 24)
            line[column] = low + (high << 32)
        begin = start + row * row_stride
        if dense:
            place = begin + targets[0]
            for column in range(ROWS):
                out[place + column] += line[column]
        else:
            for column in range(targets.size):
                out[begin + targets[column]] += line[column]


@compiled_late
def _multiply(
    fixed: Blocks,
    rows: int,
    words: RingArray,
    starts: Places,
    taps: Places,
    places: Places,
    out: NDArray[np.int64],
    outs: Places,
    row_stride: int,
    targets: Places,
    blocks: Blocks,
    sums: NDArray[np.int32],
    quad: RingArray,
    zeros: RingArray,
    layout: Blocks,
) -> None:
    depth, down = -(-taps.size // DEPTH), -(-rows // ROWS)
    configure(_address(layout))
    for group in range(starts.size):
        for first in range(0, places.size, COLUMNS):
            near = places[first : first + COLUMNS]
            for begin in range(0, depth, PIECE):
                pieces = min(PIECE, depth - begin)
                _cut_columns(words, starts[group], taps, near, begin, pieces, blocks, quad, zeros)
                for row in range(down):
                    place = ((group * down + row) * depth + begin) * _BLOCK_BYTES
                    left = _address(fixed) + np.uint64(place)
                    start = outs[group] + row * ROWS * row_stride
                    for at in range(0, near.size, ROWS):
                        right = _address(blocks) + np.uint64(at // ROWS * pieces * _BLOCK_BYTES)
                        _multiply_blocks(left, right, pieces, _address(sums))
                        aims = targets[first + at : first + min(at + ROWS, near.size)]
                        _add_up(sums, min(ROWS, rows - row * ROWS), out, start, row_stride, aims)
    release()


def fixed_bytes(groups: int, rows: int, depth: int) -> int:
    """Say how many bytes a fixed operand takes when cut."""
    return groups * _blocks_of(rows, ROWS) * _blocks_of(depth, DEPTH) * _BLOCK_BYTES


def fix(rows: RingArray) -> Blocks:
    """Cut a fixed operand (groups, r, k) for ``multiply``."""
    groups, count, depth = rows.shape
    blocks = _aligned(fixed_bytes(groups, count, depth))
    of_group = blocks.reshape(groups, -1)
    for group in range(groups):
        _cut_rows(rows[group], of_group[group], _scratch.quad)
    return blocks


def words_of(blocks: Blocks, shape: tuple[int, ...]) -> RingArray:
    """Join a fixed operand (groups, r, k) again of what ``fix`` cut."""
    groups, rows, depth = shape
    down, deep = _blocks_of(rows, ROWS), _blocks_of(depth, DEPTH)
    digits = blocks.view(np.int8).reshape(groups, down, deep, DIGITS, ROWS, DEPTH)
    words = np.zeros((groups, down, ROWS, deep, DEPTH), dtype=np.int64)
    for digit in range(DIGITS):
        words += digits[:, :, :, digit].transpose(0, 1, 3, 2, 4).astype(np.int64) << (8 * digit)
    whole = words.reshape(groups, down * ROWS, deep * DEPTH)[:, :rows, :depth]
    return np.ascontiguousarray(whole).view(np.uint64)


def multiply(fixed: Blocks, rows: int, words: RingArray, gather: Gather, out: RingArray) -> None:
    """Add a product to ``out``; see ``Kernels.multiply``."""
    _multiply(
        fixed,
        rows,
        words,
        gather.starts,
        gather.taps,
        gather.places,
        out.view(np.int64),
        gather.outs,
        gather.row_stride,
        gather.targets,
        _scratch.blocks,
        _scratch.sums,
        _scratch.quad,
        _scratch.zeros,
        _scratch.layout,
    )
