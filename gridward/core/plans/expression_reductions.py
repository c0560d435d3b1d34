"""Reducing methods of pointer expressions: sums, moments, order statistics."""

from collections.abc import Sequence
from typing import NamedTuple, Self, TypeAlias

from gridward.core.plans.expression_arithmetic import Arithmetic
from gridward.core.plans.expression_value import Call, Number, Value
from gridward.core.plans.ops import Op
from gridward.core.plans.plan import DType
from gridward.core.plans.sizes import FLOATS, axes, axis, reduced

Dims: TypeAlias = int | Sequence[int] | None


class Extreme(NamedTuple):
    """Values and where they stand, as torch returns for ``max(dim)``."""

    values: Value
    indices: Value


class Reductions(Arithmetic):
    """What makes one number, or one a row or column, of many. ``dim`` None means all dimensions."""

    __slots__ = ()

    def sum(self, dim: Dims = None, keepdim: bool = False) -> Self:
        """Sum; of integers and bools as int64."""
        dtype = self.dtype if self.dtype in FLOATS else DType.INT64
        return self._reduce(Op.SUM_DIM_INTLIST, dim, keepdim, dtype, None)

    def mean(self, dim: Dims = None, keepdim: bool = False) -> Self:
        """Mean."""
        return self._reduce(Op.MEAN_DIM, dim, keepdim, self._floating("mean"), None)

    def var(self, dim: Dims = None, correction: Number = 1, keepdim: bool = False) -> Self:
        """Variance; divided by the number less ``correction``, as in torch."""
        dtype, over = self._floating("var"), axes(dim, self.ndim)
        return self._call(
            Op.VAR_CORRECTION, (self, over, correction, keepdim), dtype, reduced(self.shape, over, keepdim)
        )

    def std(self, dim: Dims = None, correction: Number = 1, keepdim: bool = False) -> Self:
        """Standard deviation: square root of ``var``."""
        return self.var(dim, correction, keepdim).sqrt()

    def any(self, dim: Dims = None, keepdim: bool = False) -> Self:
        """Tell whether one is true."""
        return self._reduce(Op.ANY_DIMS, dim, keepdim, self._truth())

    def all(self, dim: Dims = None, keepdim: bool = False) -> Self:
        """Tell whether every one is true."""
        return self._reduce(Op.ALL_DIMS, dim, keepdim, self._truth())

    def amax(self, dim: Dims = None, keepdim: bool = False) -> Self:
        """Largest value."""
        return self._reduce(Op.AMAX, dim, keepdim, self.dtype)

    def amin(self, dim: Dims = None, keepdim: bool = False) -> Self:
        """Smallest value."""
        return self._reduce(Op.AMIN, dim, keepdim, self.dtype)

    def argmax(self, dim: int | None = None, keepdim: bool = False) -> Self:
        """Place of the largest value."""
        return self._place_of(Op.ARGMAX, dim, keepdim)

    def argmin(self, dim: int | None = None, keepdim: bool = False) -> Self:
        """Place of the smallest value."""
        return self._place_of(Op.ARGMIN, dim, keepdim)

    def cumsum(self, dim: int) -> Self:
        """Running sum."""
        dtype = self.dtype if self.dtype in FLOATS else DType.INT64
        return self._call(Op.CUMSUM, (self, axis(dim, self.ndim), None), dtype, self.shape)

    def softmax(self, dim: int) -> Self:
        """Exponentials that sum to one."""
        return self._call(
            Op.SOFTMAX, (self, axis(dim, self.ndim), False), self._floating("softmax"), self.shape
        )

    def histc(self, bins: int, min: Number, max: Number) -> Self:
        """Count values in equal bins of a range given in advance; values outside are left out."""
        if not min < max or bins < 1:
            raise ValueError("histc needs bins, and min below max: the range is never taken from the values")
        return self._call(Op.HISTC, (self, bins, min, max), self._floating("histc"), (bins,))

    def quantile(self, q: float, dim: int | None = None, keepdim: bool = False) -> Self:
        """Value below which a share ``q`` of the values lies, interpolated."""
        if not 0 <= q <= 1:
            raise ValueError("q is between 0 and 1")
        over = None if dim is None else axis(dim, self.ndim)
        shape = reduced(self.shape, None if over is None else (over,), keepdim)
        return self._call(
            Op.QUANTILE_SCALAR, (self, float(q), over, keepdim, "linear"), self._floating("quantile"), shape
        )

    def median(self) -> Self:
        """Middle value of all; the lower of two."""
        flat = self._call(Op.VIEW, (self, (-1,)), self.dtype, (1,))
        return self._call(Op.MEDIAN_DIM, (flat, 0, False), self.dtype, ())

    def sort(self, dim: int = -1, descending: bool = False) -> Extreme:
        """Values in order, and where they stood."""
        call = Call.make(Op.SORT, (self, axis(dim, self.ndim), descending))
        kind = type(self)
        return Extreme(kind(call, 0, self.dtype, self.shape), kind(call, 1, DType.INT64, self.shape))

    def _reduce(self, op: Op, dim: Dims, keepdim: bool, dtype: DType, *more: None) -> Self:
        over = axes(dim, self.ndim)
        return self._call(op, (self, over, keepdim, *more), dtype, reduced(self.shape, over, keepdim))

    def _place_of(self, op: Op, dim: int | None, keepdim: bool) -> Self:
        over = None if dim is None else (axis(dim, self.ndim),)
        shape = reduced(self.shape, over, keepdim)
        return self._call(op, (self, over[0] if over else None, keepdim), DType.INT64, shape)

    def _truth(self) -> DType:
        """Give the type of any() and all(): bool, but uint8 of uint8, as in torch."""
        return DType.UINT8 if self.dtype is DType.UINT8 else DType.BOOL

    def _floating(self, what: str) -> DType:
        if self.dtype not in FLOATS:
            raise TypeError(
                f"{what} needs floating-point values, not {self.dtype}; use .float() or .double()"
            )
        return self.dtype
