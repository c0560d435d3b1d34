"""Sixty-four bits at a time: comparing blocks and packing bits, as LLVM code for vectors of any width."""

from typing import Any, Final

from llvmlite import ir

from gridward.core.smpc.kernels.emit import Emit, of_seven, of_three

LANES: Final = 64

_BIT, _BYTE, _WORD = ir.IntType(1), ir.IntType(8), ir.IntType(64)
_WORDS = ir.VectorType(_WORD, LANES)


def _load(builder: Any, address: Any, kind: Any) -> Any:  # noqa: ANN401 (llvmlite is not typed)
    return builder.load(builder.inttoptr(address, kind.as_pointer()), align=1)


def _spread(builder: Any, value: Any, lanes: Any) -> Any:  # noqa: ANN401
    """Put a word, cut to the lane's width, into every lane."""
    narrow = value if lanes.element == _WORD else builder.trunc(value, lanes.element)
    index = ir.IntType(32)
    single = builder.insert_element(ir.Constant(lanes, ir.Undefined), narrow, ir.Constant(index, 0))
    places = ir.Constant(ir.VectorType(index, LANES), [0] * LANES)
    return builder.shuffle_vector(single, ir.Constant(lanes, ir.Undefined), places)


def _keep_bits(builder: Any, lanes: Any, address: Any) -> None:  # noqa: ANN401
    """Store the lowest bit of every lane, packed."""
    bits = builder.bitcast(builder.trunc(lanes, ir.VectorType(_BIT, LANES)), _WORD)
    builder.store(bits, builder.inttoptr(address, _WORD.as_pointer()), align=1)


def _parity(builder: Any, lanes: Any) -> Any:  # noqa: ANN401
    count = f"llvm.ctpop.v{LANES}i{lanes.type.element.width}"
    kind = ir.FunctionType(lanes.type, [lanes.type])
    module = builder.module
    return builder.call(module.globals.get(count) or ir.Function(module, kind, count), [lanes])


def _compare(bits: int) -> Emit:
    """Write the look-up in tables of so many bits.

    Words: where public words, tables, and bits for less and for equal lie; the block's lowest bit and its
    ones; the table's ones.
    """
    lanes = ir.VectorType(ir.IntType(bits), LANES)

    def emit(builder: Any, values: list[Any]) -> None:  # noqa: ANN401
        public, table, less, equal, low, ones, valid = values
        moved = builder.lshr(_load(builder, public, _WORDS), _spread(builder, low, _WORDS))
        cut = moved if bits == _WORD.width else builder.trunc(moved, lanes)
        block = builder.and_(cut, _spread(builder, ones, lanes))
        whole = builder.and_(_load(builder, table, lanes), _spread(builder, valid, lanes))
        held = builder.lshr(whole, block)
        above = builder.lshr(held, ir.Constant(lanes, [1] * LANES))
        _keep_bits(builder, _parity(builder, above), less)
        _keep_bits(builder, held, equal)

    return emit


def _pack(builder: Any, values: list[Any]) -> None:  # noqa: ANN401
    source, bit, target = values
    moved = builder.lshr(_load(builder, source, _WORDS), _spread(builder, bit, _WORDS))
    _keep_bits(builder, moved, target)


compare_8 = of_seven(_compare(8))
"""Look 64 blocks up in tables of 8 bits: see ``_compare`` for its words."""

compare_16 = of_seven(_compare(16))
"""As ``compare_8``, tables of 16 bits."""

compare_32 = of_seven(_compare(32))
"""As ``compare_8``, tables of 32 bits."""

compare_64 = of_seven(_compare(64))
"""As ``compare_8``, tables of 64 bits."""

pack = of_three(_pack)
"""Pack one bit of 64 words: where they lie, which bit, where the 8 bytes go."""
