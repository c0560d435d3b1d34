"""Steps on 8-bit tiles as LLVM code: for functions compiled by Numba, on processors with AMX and VBMI alone.

Addresses are words; tiles lie at multiples of 64 bytes, where a load is seven times as fast as elsewhere.
A block is the eight digits of 16 x 64 words, one tile after the other, lowest digit first.
"""

from typing import Any, Final

import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from gridward.core.smpc.kernels.emit import of_five, of_none, of_one, of_two

ROWS: Final = 16
DEPTH: Final = 64
DIGITS: Final = 8
TILE_BYTES: Final = ROWS * DEPTH
HALF: Final = DIGITS // 2

_BYTE, _INDEX, _WORD = ir.IntType(8), ir.IntType(32), ir.IntType(64)
_BYTES, _WORDS = ir.VectorType(_BYTE, DEPTH), ir.VectorType(_WORD, DIGITS)
_NOTHING = ir.Constant(_BYTES, None)
_FIXED, _MOVING = HALF, HALF + 1
"""Tile registers: 0 to 3 add up digits of the product, these hold digits of the operands."""


def configuration() -> NDArray[np.uint8]:
    """Describe eight tiles of 16 rows of 64 bytes, as LDTILECFG reads it."""
    layout = np.zeros(64, dtype=np.uint8)
    layout[0] = 1
    layout[16:32].view(np.uint16)[:] = DEPTH
    layout[48:56] = ROWS
    return layout


def _tile(builder: Any, name: str, *arguments: Any) -> None:  # noqa: ANN401 (llvmlite is not typed)
    module, full = builder.module, f"llvm.x86.{name}"
    kind = ir.FunctionType(ir.VoidType(), [argument.type for argument in arguments])
    builder.call(module.globals.get(full) or ir.Function(module, kind, full), arguments)


def _at(builder: Any, address: Any, offset: int) -> Any:  # noqa: ANN401
    return builder.inttoptr(builder.add(address, ir.Constant(_WORD, offset)), _BYTE.as_pointer())


def _load(builder: Any, tile: int, address: Any, offset: int) -> None:  # noqa: ANN401
    stride = ir.Constant(_WORD, DEPTH)
    _tile(builder, "tileloadd64", ir.Constant(_BYTE, tile), _at(builder, address, offset), stride)


def _configure(builder: Any, values: list[Any]) -> None:  # noqa: ANN401
    _tile(builder, "ldtilecfg", _at(builder, values[0], 0))


def _release(builder: Any, values: list[Any]) -> None:  # noqa: ANN401
    _tile(builder, "tilerelease")


def _clear(builder: Any, values: list[Any]) -> None:  # noqa: ANN401
    for tile in range(HALF):
        _tile(builder, "tilezero", ir.Constant(_BYTE, tile))


def _store(builder: Any, values: list[Any]) -> None:  # noqa: ANN401
    for tile in range(HALF):
        address, stride = _at(builder, values[0], tile * TILE_BYTES), ir.Constant(_WORD, DEPTH)
        _tile(builder, "tilestored64", ir.Constant(_BYTE, tile), address, stride)


def _products(builder: Any, values: list[Any], lowest: int) -> None:  # noqa: ANN401
    """Add the products of two blocks' digits to the sums of digits ``lowest`` to ``lowest`` + 3."""
    for digit in range(lowest + HALF):
        _load(builder, _FIXED, values[0], digit * TILE_BYTES)
        for total in range(max(lowest, digit), lowest + HALF):
            _load(builder, _MOVING, values[1], (total - digit) * TILE_BYTES)
            tiles = [ir.Constant(_BYTE, tile) for tile in (total - lowest, _FIXED, _MOVING)]
            _tile(builder, "tdpbssd", *tiles)


def _low_products(builder: Any, values: list[Any]) -> None:  # noqa: ANN401
    _products(builder, values, 0)


def _high_products(builder: Any, values: list[Any]) -> None:  # noqa: ANN401
    _products(builder, values, HALF)


def _shuffled(builder: Any, left: Any, right: Any, places: list[int]) -> Any:  # noqa: ANN401
    mask = ir.Constant(ir.VectorType(_INDEX, len(places)), places)
    return builder.shuffle_vector(left, right, mask)


def _all(vector: ir.VectorType, lane: int) -> ir.Constant:
    return ir.Constant(vector, [lane] * vector.count)


def _digit_rows(builder: Any, sources: list[Any]) -> list[Any]:  # noqa: ANN401
    """Cut 64 words, as many from each source, into digits: eight vectors of 64 bytes, the words in order."""
    by_digit = [word * DIGITS + digit for digit in range(DIGITS) for word in range(DIGITS)]
    each = DIGITS // len(sources)
    rows = []
    for at in range(DIGITS):
        place = _at(builder, sources[at // each], at % each * DEPTH)
        words = builder.load(builder.bitcast(place, _WORDS.as_pointer()), align=8)
        biased = builder.add(words, _all(_WORDS, 0x8080808080808080))
        digits = builder.xor(biased, _all(_WORDS, 0x8080808080808080))
        gathered = _shuffled(builder, builder.bitcast(digits, _BYTES), _NOTHING, by_digit)
        rows.append(builder.bitcast(gathered, _WORDS))
    for distance in (1, 2, 4):  # transposes eight vectors of eight words
        rows = _exchanged(builder, rows, distance)
    return [builder.bitcast(row, _BYTES) for row in rows]


def _exchanged(builder: Any, rows: list[Any], distance: int) -> list[Any]:  # noqa: ANN401
    """Exchange blocks of ``distance`` off the diagonal between rows that far apart."""
    lanes = range(DIGITS)
    upper = [lane if not lane & distance else DIGITS + lane - distance for lane in lanes]
    lower = [lane + distance if not lane & distance else DIGITS + lane for lane in lanes]
    out = list(rows)
    for at in (at for at in lanes if not at & distance):
        out[at] = _shuffled(builder, rows[at], rows[at + distance], upper)
        out[at + distance] = _shuffled(builder, rows[at], rows[at + distance], lower)
    return out


def _keep(builder: Any, rows: list[Any], target: Any) -> None:  # noqa: ANN401
    for digit, row in enumerate(rows):
        pointer = builder.bitcast(_at(builder, target, digit * TILE_BYTES), _BYTES.as_pointer())
        builder.store(row, pointer, align=DEPTH)


def _cut(builder: Any, values: list[Any]) -> None:  # noqa: ANN401
    _keep(builder, _digit_rows(builder, values[:1]), values[1])


def _cut_turned(builder: Any, values: list[Any]) -> None:  # noqa: ANN401
    turned = [lane % 4 * ROWS + lane // 4 for lane in range(DEPTH)]
    rows = [_shuffled(builder, row, _NOTHING, turned) for row in _digit_rows(builder, values[:4])]
    _keep(builder, rows, values[4])


configure = of_one(_configure)
"""Take the eight tiles in use as ``configuration`` lays them out; give them back by ``release``."""

release = of_none(_release)
"""End the use of tiles on this thread."""

clear = of_none(_clear)
"""Begin four sums."""

low_products = of_two(_low_products)
"""Add the products of two blocks (rows, columns) to the sums of digits 0 to 3."""

high_products = of_two(_high_products)
"""Add the products of two blocks (rows, columns) to the sums of digits 4 to 7."""

store = of_one(_store)
"""Write the four sums one after the other, each (16, 16) of 32 bits."""

cut = of_two(_cut)
"""Cut 64 words along k into one row of a block; the second address is that row's in the lowest tile."""

cut_turned = of_five(_cut_turned)
"""Cut four times 16 words, four places along k of 16 columns, into one row of a block of columns."""
