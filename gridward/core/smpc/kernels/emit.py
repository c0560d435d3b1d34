"""Functions that Numba compiles to LLVM code written out here, for what its loops cannot say.

All take words: addresses and numbers. All give nothing.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from numba.core import types
from numba.extending import intrinsic

Emit: TypeAlias = Callable[[Any, list[Any]], None]
"""Writes code for a builder of llvmlite and the values of a call's arguments; llvmlite is not typed."""


def _generator(emit: Emit) -> Any:  # noqa: ANN401
    def generate(context: Any, builder: Any, _signature: object, values: list[Any]) -> Any:  # noqa: ANN401
        emit(builder, values)
        return context.get_dummy_value()

    return generate


def of_none(emit: Emit) -> Any:  # noqa: ANN401
    """Make a function that Numba compiles to what ``emit`` writes."""

    def typed(_context: object) -> tuple[Any, Any]:
        return types.void(), _generator(emit)

    return intrinsic(typed)


def of_one(emit: Emit) -> Any:  # noqa: ANN401
    """Make a function of an address."""

    def typed(_context: object, _first: object) -> tuple[Any, Any]:
        return types.void(types.uint64), _generator(emit)

    return intrinsic(typed)


def of_two(emit: Emit) -> Any:  # noqa: ANN401
    """Make a function of two addresses."""

    def typed(_context: object, _first: object, _second: object) -> tuple[Any, Any]:
        return types.void(types.uint64, types.uint64), _generator(emit)

    return intrinsic(typed)


def of_five(emit: Emit) -> Any:  # noqa: ANN401
    """Make a function of five addresses."""

    def typed(
        _context: object, _a: object, _b: object, _c: object, _d: object, _e: object
    ) -> tuple[Any, Any]:
        return types.void(*[types.uint64] * 5), _generator(emit)

    return intrinsic(typed)


def of_three(emit: Emit) -> Any:  # noqa: ANN401
    """Make a function of three words."""

    def typed(_context: object, _a: object, _b: object, _c: object) -> tuple[Any, Any]:
        return types.void(*[types.uint64] * 3), _generator(emit)

    return intrinsic(typed)


def of_seven(emit: Emit) -> Any:  # noqa: ANN401
    """Make a function of seven words."""

    def typed(
        _context: object, _a: object, _b: object, _c: object, _d: object, _e: object, _f: object, _g: object
    ) -> tuple[Any, Any]:
        return types.void(*[types.uint64] * 7), _generator(emit)

    return intrinsic(typed)
