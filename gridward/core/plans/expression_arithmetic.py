"""Element-by-element methods of pointer expressions, with torch's names and torch's rules of types."""

from typing import Final, Self

from gridward.core.plans.expression_value import Number, Value
from gridward.core.plans.ops import Op
from gridward.core.plans.plan import DType
from gridward.core.plans.sizes import FLOATS, broadcast, promote

ARITHMETIC: Final = {
    Op.ADD_TENSOR: Op.ADD_SCALAR,
    Op.SUB_TENSOR: Op.SUB_SCALAR,
    Op.MUL_TENSOR: Op.MUL_SCALAR,
    Op.DIV_TENSOR: Op.DIV_SCALAR,
    Op.DIV_TENSOR_MODE: Op.DIV_SCALAR_MODE,
    Op.REMAINDER_TENSOR: Op.REMAINDER_SCALAR,
    Op.POW_TENSOR_TENSOR: Op.POW_TENSOR_SCALAR,
    Op.EQ_TENSOR: Op.EQ_SCALAR,
    Op.NE_TENSOR: Op.NE_SCALAR,
    Op.LT_TENSOR: Op.LT_SCALAR,
    Op.LE_TENSOR: Op.LE_SCALAR,
    Op.GT_TENSOR: Op.GT_SCALAR,
    Op.GE_TENSOR: Op.GE_SCALAR,
}


class Arithmetic(Value):
    """Operators and elementwise functions. Operands broadcast; errors are raised here, before any send."""

    __slots__ = ()

    def __add__(self, other: Self | Number) -> Self:
        return self._binary(Op.ADD_TENSOR, other, 1)

    def __radd__(self, other: Number) -> Self:
        return self._binary(Op.ADD_TENSOR, other, 1)

    def __sub__(self, other: Self | Number) -> Self:
        return self._binary(Op.SUB_TENSOR, other, 1)

    def __rsub__(self, other: Number) -> Self:
        return self._call(Op.RSUB_SCALAR, (self, other, 1), self._common(other), self.shape)

    def __mul__(self, other: Self | Number) -> Self:
        return self._binary(Op.MUL_TENSOR, other)

    def __rmul__(self, other: Number) -> Self:
        return self._binary(Op.MUL_TENSOR, other)

    def __truediv__(self, other: Self | Number) -> Self:
        return self._binary(Op.DIV_TENSOR, other)

    def __rtruediv__(self, other: Number) -> Self:
        return self.reciprocal() * other

    def __floordiv__(self, other: Self | Number) -> Self:
        return self._binary(Op.DIV_TENSOR_MODE, other, "floor")

    def __mod__(self, other: Self | Number) -> Self:
        return self._binary(Op.REMAINDER_TENSOR, other)

    def __pow__(self, other: Self | Number) -> Self:
        return self._binary(Op.POW_TENSOR_TENSOR, other)

    def __rpow__(self, other: Number) -> Self:
        return self._call(Op.POW_SCALAR, (other, self), self._common(other), self.shape)

    def __eq__(self, other: object) -> Self:  # type: ignore[override]  # as in torch: a comparison of elements
        return self._compare(Op.EQ_TENSOR, other)

    def __ne__(self, other: object) -> Self:  # type: ignore[override]  # as in torch
        return self._compare(Op.NE_TENSOR, other)

    __hash__ = Value.__hash__

    def __lt__(self, other: Self | Number) -> Self:
        return self._compare(Op.LT_TENSOR, other)

    def __le__(self, other: Self | Number) -> Self:
        return self._compare(Op.LE_TENSOR, other)

    def __gt__(self, other: Self | Number) -> Self:
        return self._compare(Op.GT_TENSOR, other)

    def __ge__(self, other: Self | Number) -> Self:
        return self._compare(Op.GE_TENSOR, other)

    def __and__(self, other: Self) -> Self:
        return self._logical(Op.LOGICAL_AND, other)

    def __or__(self, other: Self) -> Self:
        return self._logical(Op.LOGICAL_OR, other)

    def __xor__(self, other: Self) -> Self:
        return self._logical(Op.LOGICAL_XOR, other)

    def __invert__(self) -> Self:
        self._need_bool("~")
        return self._call(Op.LOGICAL_NOT, (self,), DType.BOOL, self.shape)

    def __neg__(self) -> Self:
        if self.dtype is DType.BOOL:
            raise TypeError("- of a bool: use ~")
        return self._same(Op.NEG)

    def __abs__(self) -> Self:
        return self.abs()

    def abs(self) -> Self:
        """Absolute value."""
        return self._same(Op.ABS)

    def sign(self) -> Self:
        """-1, 0 or 1."""
        return self._same(Op.SIGN)

    def floor(self) -> Self:
        """Largest integer below."""
        return self._same(Op.FLOOR)

    def ceil(self) -> Self:
        """Smallest integer above."""
        return self._same(Op.CEIL)

    def round(self) -> Self:
        """Nearest integer, halves to even."""
        return self._same(Op.ROUND)

    def relu(self) -> Self:
        """Larger of the value and 0."""
        return self._same(Op.RELU)

    def sqrt(self) -> Self:
        """Square root."""
        return self._float(Op.SQRT)

    def rsqrt(self) -> Self:
        """Reciprocal of the square root."""
        return self._float(Op.RSQRT)

    def reciprocal(self) -> Self:
        """One over the value."""
        return self._float(Op.RECIPROCAL)

    def exp(self) -> Self:
        """Exponential."""
        return self._float(Op.EXP)

    def log(self) -> Self:
        """Natural logarithm."""
        return self._float(Op.LOG)

    def log1p(self) -> Self:
        """Natural logarithm of one plus the value."""
        return self._float(Op.LOG1P)

    def sin(self) -> Self:
        """Sine."""
        return self._float(Op.SIN)

    def cos(self) -> Self:
        """Cosine."""
        return self._float(Op.COS)

    def sigmoid(self) -> Self:
        """Logistic function."""
        return self._float(Op.SIGMOID)

    def tanh(self) -> Self:
        """Hyperbolic tangent."""
        return self._float(Op.TANH)

    def erf(self) -> Self:
        """Error function."""
        return self._float(Op.ERF)

    def square(self) -> Self:
        """Value times itself."""
        return self**2

    def isnan(self) -> Self:
        """Tell which elements are not a number."""
        return self._call(Op.ISNAN, (self,), DType.BOOL, self.shape)

    def clamp(self, min: Number | None = None, max: Number | None = None) -> Self:
        """Limit to a range."""
        if min is None and max is None:
            raise ValueError("clamp needs a min or a max")
        dtype = self._common(*(bound for bound in (min, max) if bound is not None))
        return self._call(Op.CLAMP, (self, min, max), dtype, self.shape)

    def maximum(self, other: Self) -> Self:
        """Larger of two, element by element."""
        return self._binary(Op.MAXIMUM, other)

    def minimum(self, other: Self) -> Self:
        """Smaller of two, element by element."""
        return self._binary(Op.MINIMUM, other)

    def where(self, condition: Self, other: Self | Number) -> Self:
        """Keep the value where the condition holds, take the other elsewhere."""
        condition._need_bool("where")
        second = other if isinstance(other, Value) else self._filled(other)
        dtype = promote([(self.dtype, self.ndim > 0), (second.dtype, second.ndim > 0)])
        shape = broadcast([condition.shape, self.shape, second.shape])
        return self._call(Op.WHERE_SELF, (condition, self, second), dtype, shape)

    def to(self, dtype: DType | str) -> Self:
        """Convert the element type."""
        wanted = DType(dtype)
        if wanted is self.dtype:
            return self
        return self._call(Op.TO_COPY, (self, wanted), wanted, self.shape)

    def float(self) -> Self:
        """Convert to float32."""
        return self.to(DType.FLOAT32)

    def double(self) -> Self:
        """Convert to float64."""
        return self.to(DType.FLOAT64)

    def long(self) -> Self:
        """Convert to int64."""
        return self.to(DType.INT64)

    def bool(self) -> Self:
        """Convert to bool: is not 0."""
        return self.to(DType.BOOL)

    def _filled(self, number: Number) -> Self:
        dtype = promote([], [number])
        return self._call(Op.FULL, ((), number, dtype), dtype, ())

    def _common(self, *numbers: Number) -> DType:
        if not all(isinstance(number, int | float) for number in numbers):
            raise TypeError(f"cannot combine {self!r} with {numbers[0]!r}")
        return promote([(self.dtype, self.ndim > 0)], numbers)

    def _same(self, op: Op) -> Self:
        if self.dtype is DType.BOOL:
            raise TypeError(f"{op} does not take bool; convert with .float()")
        return self._call(op, (self,), self.dtype, self.shape)

    def _float(self, op: Op) -> Self:
        dtype = self.dtype if self.dtype in FLOATS else DType.FLOAT32
        return self._call(op, (self,), dtype, self.shape)

    def _binary(self, op: Op, other: Self | Number, *more: Number | str) -> Self:
        if isinstance(other, Value):
            dtype = promote([(self.dtype, self.ndim > 0), (other.dtype, other.ndim > 0)])
            shape = broadcast([self.shape, other.shape])
        else:
            dtype, shape = self._common(other), self.shape
            op = ARITHMETIC[op]
        if op in (Op.DIV_TENSOR, Op.DIV_SCALAR) and dtype not in FLOATS:
            dtype = DType.FLOAT32
        if op in (Op.SUB_TENSOR, Op.SUB_SCALAR) and dtype is DType.BOOL:
            raise TypeError("- of bools: use ^")
        return self._call(op, (self, other, *more), dtype, shape)

    def _compare(self, op: Op, other: object) -> Self:
        if not isinstance(other, Value | int | float):
            raise TypeError(f"cannot compare {self!r} with {other!r}")
        shape = broadcast([self.shape, other.shape]) if isinstance(other, Value) else self.shape
        return self._call(
            op if isinstance(other, Value) else ARITHMETIC[op], (self, other), DType.BOOL, shape
        )

    def _logical(self, op: Op, other: Self) -> Self:
        if not isinstance(other, Arithmetic):
            raise TypeError(f"& | ^ take two conditions, not {other!r}")
        self._need_bool("& | ^")
        other._need_bool("& | ^")
        return self._call(op, (self, other), DType.BOOL, broadcast([self.shape, other.shape]))

    def _need_bool(self, what: str) -> None:
        if self.dtype is not DType.BOOL:
            raise TypeError(f"{what} takes conditions (bool), not {self!r}")
