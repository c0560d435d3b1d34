"""Shapes and element types of pointer expressions, as torch would have them; sizes may be unknown."""

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Final

from gridward.core.plans.plan import Dim, DType, Size

Shape = tuple[Size, ...]

#: Torch's promotion among the types of plans is a chain.
ORDER: Final = (DType.BOOL, DType.UINT8, DType.INT32, DType.INT64, DType.FLOAT32, DType.FLOAT64)
FLOATS: Final = frozenset({DType.FLOAT32, DType.FLOAT64})


def category(dtype: DType) -> int:
    """Rank bool, integers and floats."""
    return 0 if dtype is DType.BOOL else 2 if dtype in FLOATS else 1


def promote(operands: Sequence[tuple[DType, bool]], numbers: Iterable[float | int | bool] = ()) -> DType:
    """Give the common type of tensors, each said to have dimensions or none, and of Python numbers.

    A tensor without dimensions, and then a number, counts only if it is of a higher category.
    """
    groups = [
        [dtype for dtype, dimensions in operands if dimensions],
        [dtype for dtype, dimensions in operands if not dimensions],
        [_number(number) for number in numbers],
    ]
    result: DType | None = None
    for group in groups:
        if group:
            highest = max(group, key=ORDER.index)
            if result is None or category(highest) > category(result):
                result = highest
    if result is None:
        raise TypeError("nothing to find a type of")
    return result


def _number(value: float | int | bool) -> DType:
    if isinstance(value, bool):
        return DType.BOOL
    return DType.INT64 if isinstance(value, int) else DType.FLOAT32


def broadcast(shapes: Sequence[Shape]) -> Shape:
    """Give the common shape, sizes of 1 stretched.

    Raises:
        ValueError: sizes differ, or one is known only when the plan runs and the other is not that same one.
    """
    result: list[Size] = []
    for sizes in itertools.zip_longest(*(reversed(shape) for shape in shapes), fillvalue=1):
        others = [size for size in dict.fromkeys(sizes) if size != 1]
        if len(others) > 1:
            raise ValueError(f"shapes {' and '.join(map(words, shapes))} do not fit each other")
        result.append(others[0] if others else 1)
    return tuple(reversed(result))


def words(shape: Shape) -> str:
    """Print a shape."""
    return f"[{', '.join(size.name if isinstance(size, Dim) else str(size) for size in shape)}]"


def axis(dim: int, rank: int) -> int:
    """Give a dimension's number from the front.

    Raises:
        IndexError: there is no such dimension.
    """
    if not -max(rank, 1) <= dim < max(rank, 1):
        raise IndexError(f"dimension {dim} is out of range for {rank} dimensions")
    return dim % max(rank, 1)


def axes(dim: int | Sequence[int] | None, rank: int) -> tuple[int, ...] | None:
    """Give the dimensions to reduce over from the front; None for all.

    Raises:
        IndexError: there is no such dimension.
        ValueError: one is named twice.
    """
    if dim is None or rank == 0:
        return None
    listed = tuple(axis(at, rank) for at in ([dim] if isinstance(dim, int) else dim))
    if len(set(listed)) != len(listed):
        raise ValueError("a dimension is named twice")
    return listed or None


def reduced(shape: Shape, over: tuple[int, ...] | None, keepdim: bool) -> Shape:
    """Give the shape after a reduction."""
    gone = range(len(shape)) if over is None else over
    if keepdim:
        return tuple(1 if at in gone else size for at, size in enumerate(shape))
    return tuple(size for at, size in enumerate(shape) if at not in gone)


def count(shape: Shape) -> tuple[int, tuple[str, ...]]:
    """Give the number of elements: the known factor and the names of the unknown ones."""
    known = math.prod(size for size in shape if isinstance(size, int))
    return known, tuple(sorted(size.name for size in shape if isinstance(size, Dim)))


def sliced(size: Size, part: slice) -> tuple[int, int | None, int, int | None]:
    """Give start, end and step of a slice, and how many it keeps; None where that depends on an unknown size.

    Raises:
        ValueError: the step is not positive, as in torch.
    """
    step = 1 if part.step is None else part.step
    if step < 1:
        raise ValueError("a slice's step must be positive")
    if isinstance(size, int):
        start, end, _ = part.indices(size)
        return start, end, step, len(range(start, end, step))
    return part.start or 0, part.stop, step, None
