"""The nodes of pointer expressions: what a value is made of; nothing is computed and nothing is sent."""

import itertools
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, NoReturn, Self, TypeAlias

from gridward.core.plans.ops import Op
from gridward.core.plans.plan import Dim, DType, Size
from gridward.core.plans.sizes import Shape, words

Number: TypeAlias = float | int | bool


@dataclass(frozen=True, slots=True)
class Source:
    """A stored tensor that an expression starts from.

    ``key`` names it to whoever runs the plan and is opaque here; equal sources become one input. A size that
    may differ between versions of the data is a ``Dim``: sources of one table share theirs, so that their
    columns fit each other, and rows of different tables do not.
    """

    key: Hashable
    dtype: DType
    shape: Shape


@dataclass(frozen=True, slots=True)
class Literal:
    """A public tensor inside the expression: little-endian, row-major bytes."""

    dtype: DType
    shape: tuple[int, ...]
    data: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """One op applied. ``args`` are as in ``Step.args``, with values in place of references.

    ``mark`` is a digest of the whole expression: equal marks mean equal values.
    """

    op: Op
    args: tuple["CallArgument", ...]
    mark: bytes

    @classmethod
    def make(cls, op: Op, args: tuple["CallArgument", ...]) -> Self:
        """Apply an op."""
        return cls(op, args, sha256(repr((op.value, tuple(map(_marked, args)))).encode()).digest())


def _marked(argument: object) -> object:
    if isinstance(argument, Value):
        return argument.mark
    return tuple(map(_marked, argument)) if isinstance(argument, tuple) else argument


_UNKNOWN: Final = itertools.count()


def unknown_size() -> Dim:
    """Make a size that nobody knows before the plan runs, equal only to itself."""
    return Dim(f"?{next(_UNKNOWN)}")


class Value:
    """An immutable node: where it comes from, its element type and its shape."""

    __slots__ = ("_dtype", "_origin", "_place", "_shape")

    def __init__(self, origin: Source | Literal | Call, place: int, dtype: DType, shape: Shape) -> None:
        self._origin = origin
        self._place = place
        self._dtype = dtype
        self._shape = shape

    @classmethod
    def of(cls, source: Source) -> Self:
        """Start an expression from a stored tensor."""
        return cls(source, 0, source.dtype, source.shape)

    @classmethod
    def literal(cls, dtype: DType, shape: Sequence[int], data: bytes) -> Self:
        """Start an expression from public values: little-endian, row-major bytes."""
        return cls(Literal(dtype, tuple(shape), data), 0, dtype, tuple(shape))

    @property
    def origin(self) -> Source | Literal | Call:
        """What this value is made by."""
        return self._origin

    @property
    def place(self) -> int:
        """Which result of its call this value is."""
        return self._place

    @property
    def mark(self) -> bytes:
        """Digest of the expression: equal within this process for what computes the same from the same."""
        origin = self._origin.mark if isinstance(self._origin, Call) else str(hash(self._origin)).encode()
        return origin + bytes([self._place])

    @property
    def dtype(self) -> DType:
        """Element type."""
        return self._dtype

    @property
    def shape(self) -> Shape:
        """Sizes; a ``Dim`` where the size is known only when the plan runs."""
        return self._shape

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self._shape)

    def dim(self) -> int:
        """Give the number of dimensions."""
        return len(self._shape)

    def size(self, dim: int) -> Size:
        """Give one size."""
        return self._shape[dim]

    def __len__(self) -> int:
        """Give the number of rows, if it is known before the plan runs."""
        if not self._shape or isinstance(self._shape[0], Dim):
            raise TypeError(f"the number of rows of {self!r} is not known here")
        return self._shape[0]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._dtype}{words(self._shape)}>"

    def __bool__(self) -> NoReturn:
        raise TypeError("a remote value has no truth value here; combine conditions with & | ~ and where()")

    def __iter__(self) -> NoReturn:
        raise TypeError("a remote value cannot be iterated: that would take its rows one by one")

    def __hash__(self) -> int:
        return id(self)

    def _call(self, op: Op, args: tuple["CallArgument", ...], dtype: DType, shape: Shape) -> Self:
        return type(self)(Call.make(op, args), 0, dtype, shape)


CallArgument: TypeAlias = (
    Value | Number | str | DType | tuple[Value | None, ...] | tuple[Size, ...] | tuple[bool, ...] | None
)
