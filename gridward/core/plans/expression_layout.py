"""Methods of pointer expressions that move or choose values without changing any."""

import struct
from collections.abc import Sequence
from types import EllipsisType
from typing import Self, TypeAlias

from gridward.core.plans.expression_reductions import Reductions
from gridward.core.plans.expression_value import Value, unknown_size
from gridward.core.plans.ops import Op
from gridward.core.plans.plan import Dim, DType, Size
from gridward.core.plans.sizes import Shape, axis, count, sliced, words

Index: TypeAlias = int | slice | Sequence[int] | Value | EllipsisType | None


class Layout(Reductions):
    """Shapes and indexing."""

    __slots__ = ()

    @property
    def T(self) -> Self:
        """Transpose of a matrix."""
        return self.t()

    def t(self) -> Self:
        """Transpose of a matrix."""
        if self.ndim > 2:
            raise ValueError(f"T takes at most 2 dimensions, not {self.ndim}; use permute")
        return self.permute(*reversed(range(self.ndim)))

    def transpose(self, dim0: int, dim1: int) -> Self:
        """Exchange two dimensions."""
        order = list(range(self.ndim))
        one, other = axis(dim0, self.ndim), axis(dim1, self.ndim)
        order[one], order[other] = order[other], order[one]
        return self.permute(*order)

    def permute(self, *dims: int) -> Self:
        """Reorder the dimensions."""
        order = tuple(axis(dim, self.ndim) for dim in dims)
        if sorted(order) != list(range(self.ndim)):
            raise ValueError(f"permute needs each of {self.ndim} dimensions once, not {dims}")
        return self._call(Op.PERMUTE, (self, order), self.dtype, tuple(self.shape[at] for at in order))

    def unsqueeze(self, dim: int) -> Self:
        """Insert a dimension of size 1."""
        at = axis(dim, self.ndim + 1)
        return self._call(Op.UNSQUEEZE, (self, at), self.dtype, (*self.shape[:at], 1, *self.shape[at:]))

    def squeeze(self, dim: int | None = None) -> Self:
        """Drop dimensions of size 1."""
        candidates = range(self.ndim) if dim is None else [axis(dim, self.ndim)]
        gone = tuple(at for at in candidates if self.shape[at] == 1)
        shape = tuple(size for at, size in enumerate(self.shape) if at not in gone)
        return self._call(Op.SQUEEZE_DIMS, (self, gone), self.dtype, shape) if gone else self

    def flatten(self, start_dim: int = 0) -> Self:
        """Join the dimensions from ``start_dim`` on."""
        return self.reshape(*self.shape[: axis(start_dim, self.ndim)], -1)

    def view(self, *shape: Size) -> Self:
        """Give other dimensions to the same elements."""
        return self.reshape(*shape)

    def reshape(self, *shape: Size) -> Self:
        """Give other dimensions to the same elements; one size may be -1, found from the rest."""
        inferred = [at for at, size in enumerate(shape) if size == -1]
        if len(inferred) > 1:
            raise ValueError("only one size can be inferred")
        result = tuple(self._inferred(shape) if at in inferred else size for at, size in enumerate(shape))
        if not inferred and count(result) != count(self.shape):
            raise ValueError(f"{words(self.shape)} has not as many elements as {words(result)}")
        return self._shaped(result, inferred)

    def _shaped(self, result: Shape, inferred: Sequence[int] = ()) -> Self:
        # A size that only the run knows (of a mask) cannot be written down, only inferred.
        sizes = tuple(-1 if at in inferred or _unwritten(size) else size for at, size in enumerate(result))
        if sizes.count(-1) > 1:
            raise ValueError("more than one size is known only when the plan runs")
        return self._call(Op.VIEW, (self, sizes), self.dtype, result)

    def _inferred(self, shape: Shape) -> Size:
        known, unknown = count(self.shape)
        given, named = count(tuple(size for size in shape if size != -1))
        left = list(unknown)
        for name in named:
            if name not in left:
                raise ValueError(f"{words(self.shape)} cannot become {words(shape)}")
            left.remove(name)
        if not left:
            if given == 0 or known % given:
                raise ValueError(f"{words(self.shape)} cannot become {words(shape)}")
            return known // given
        return Dim(left[0]) if len(left) == 1 and known == given else unknown_size()

    def expand(self, *shape: Size) -> Self:
        """Repeat dimensions of size 1, and add such in front; -1 keeps a size."""
        before = (1,) * (len(shape) - self.ndim) + self.shape
        result = tuple(old if new == -1 else new for old, new in zip(before, shape, strict=True))
        if any(old not in (1, new) for old, new in zip(before, result, strict=True)):
            raise ValueError(f"{words(self.shape)} cannot expand to {words(shape)}")
        if any(_unwritten(new) and old != new for old, new in zip(before, result, strict=True)):
            raise ValueError("cannot expand to a size that is known only when the plan runs")
        kept = tuple(-1 if old == new else new for old, new in zip(before, result, strict=True))
        if len(result) > self.ndim and -1 in kept[: len(result) - self.ndim]:
            kept = tuple(1 if at < len(result) - self.ndim and s == -1 else s for at, s in enumerate(kept))
        return self._call(Op.EXPAND, (self, kept), self.dtype, result)

    def __getitem__(self, index: Index | tuple[Index, ...]) -> Self:
        """Choose by numbers, slices, and at most one list of numbers, mask or index expression.

        Raises:
            IndexError: more indices than dimensions, or a number beyond a known size.
            ValueError: a mask's shape is not that of the dimensions it stands for.
        """
        items = list(index) if isinstance(index, tuple) else [index]
        used = sum(_dimensions(item) for item in items)
        if used > self.ndim:
            raise IndexError(f"{used} indices for {self.ndim} dimensions")
        if not any(item is Ellipsis for item in items):
            items.append(Ellipsis)
        value, at = self, 0
        for item in items:
            if item is None:
                value, at = value.unsqueeze(at), at + 1
            elif isinstance(item, EllipsisType):
                at += self.ndim - used
            elif isinstance(item, slice):
                value, at = value._slice(at, item), at + 1
            elif isinstance(item, bool):
                raise IndexError("True and False are no indices; a mask is an expression")
            elif isinstance(item, int):
                value = value._select(at, item)
            else:
                if sum(isinstance(other, Value | Sequence) for other in items) > 1:
                    raise IndexError("at most one mask, list or index expression; index twice")
                value, at = value._pick(at, item)
        return value

    def _select(self, at: int, item: int) -> Self:
        size = self.shape[at]
        if isinstance(size, int):
            axis_words = f"index {item} is out of range for dimension {at} of size {size}"
            if not -size <= item < size:
                raise IndexError(axis_words)
            item %= size
        return self._call(
            Op.SELECT_INT, (self, at, int(item)), self.dtype, self.shape[:at] + self.shape[at + 1 :]
        )

    def _slice(self, at: int, item: slice) -> Self:
        if item == slice(None):
            return self
        start, end, step, kept = sliced(self.shape[at], item)
        shape = (*self.shape[:at], unknown_size() if kept is None else kept, *self.shape[at + 1 :])
        return self._call(Op.SLICE_TENSOR, (self, at, start, end, step), self.dtype, shape)

    def _pick(self, at: int, item: Sequence[int] | Value) -> tuple[Self, int]:
        """Index by a list, a mask or an expression of row numbers; give the next dimension too."""
        if not isinstance(item, Value):
            return self._columns(at, list(item)), at + 1
        if item.dtype is DType.BOOL:
            if item.shape != self.shape[at : at + item.ndim]:
                raise ValueError(f"a mask of shape {words(item.shape)} does not fit {words(self.shape)}")
            shape = (*self.shape[:at], _kept(item), *self.shape[at + item.ndim :])
            after = at + 1
        elif item.dtype in (DType.INT64, DType.INT32):
            shape = self.shape[:at] + item.shape + self.shape[at + 1 :]
            after = at + item.ndim
        else:
            raise IndexError(f"an index is int64 or bool, not {item.dtype}")
        value = self._call(Op.INDEX_TENSOR, (self, (*(None,) * at, item)), self.dtype, shape)
        return value, after

    def _columns(self, at: int, listed: list[int]) -> Self:
        size = self.shape[at]
        if not listed or not all(type(item) is int for item in listed):
            raise IndexError("a list index holds integers, at least one")
        if isinstance(size, int):
            if not all(-size <= item < size for item in listed):
                raise IndexError(f"an index of {listed} is out of range for dimension {at} of size {size}")
            listed = [item % size for item in listed]
        elif min(listed) < 0:
            raise IndexError("a list index into an unknown size counts from the front")
        places = self.literal(DType.INT64, (len(listed),), struct.pack(f"<{len(listed)}q", *listed))
        shape = (*self.shape[:at], len(listed), *self.shape[at + 1 :])
        return self._call(Op.INDEX_SELECT, (self, at, places), self.dtype, shape)


def _dimensions(item: Index) -> int:
    """Tell how many dimensions an index stands for."""
    if item is None or isinstance(item, EllipsisType):
        return 0
    return item.ndim if isinstance(item, Value) and item.dtype is DType.BOOL else 1


def _kept(mask: Value) -> Dim:
    """Name the number of rows that a mask keeps: the same mask keeps the same number."""
    return Dim(f"?mask {mask.mark.hex()}")


def _unwritten(size: Size) -> bool:
    return isinstance(size, Dim) and size.name.startswith("?")
