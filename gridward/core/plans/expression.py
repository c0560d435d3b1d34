"""Pointer expressions: torch-like operations on remote tensors that only take note, then become one plan."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Self, cast

from gridward.core.plans.expression_layout import Layout
from gridward.core.plans.expression_reductions import Extreme
from gridward.core.plans.expression_value import Call, Literal, Number, Source, Value
from gridward.core.plans.ops import Op
from gridward.core.plans.plan import (
    Argument,
    Constant,
    Dim,
    DimRange,
    Input,
    Kind,
    Output,
    Plan,
    Ref,
    Role,
    Size,
    Step,
)
from gridward.core.plans.simplify import simplify
from gridward.core.plans.sizes import axis, promote, words
from gridward.core.plans.table import SPECS
from gridward.core.plans.validate import check

PRODUCER: Final = "gridward expression"


class Expression(Layout):
    """A value that is not computed yet. Immutable: every method gives a new one and leaves this as it is.

    Methods have torch's names, types and shapes; what torch would refuse for types or shapes is refused here
    as ``TypeError``, ``ValueError`` or ``IndexError``, before anything is sent. ``to_plan`` makes the plan.
    """

    __slots__ = ()

    def max(self, dim: "int | Self | None" = None, keepdim: bool = False) -> "Self | Extreme":
        """Largest of all, largest along a dimension with its place, or the larger of two."""
        if isinstance(dim, Value):
            return self.maximum(dim)
        if dim is None:
            return self.amax()
        return Extreme(self.amax(dim, keepdim), self.argmax(dim, keepdim))

    def min(self, dim: "int | Self | None" = None, keepdim: bool = False) -> "Self | Extreme":
        """Smallest of all, smallest along a dimension with its place, or the smaller of two."""
        if isinstance(dim, Value):
            return self.minimum(dim)
        if dim is None:
            return self.amin()
        return Extreme(self.amin(dim, keepdim), self.argmin(dim, keepdim))

    def matmul(self, other: Self) -> Self:
        """Matrix product; see ``@``."""
        return self @ other

    def __matmul__(self, other: Self) -> Self:
        """Matrix product of vectors, matrices, a batch by a matrix, or two batches of equal length."""
        if self.dtype != other.dtype:
            raise TypeError(f"@ needs equal types, not {self.dtype} and {other.dtype}")
        if not self.ndim or not other.ndim or self.ndim > 3 or other.ndim > 3:
            raise ValueError("@ takes 1 to 3 dimensions")
        if self.ndim == 1:
            return (self.unsqueeze(0) @ other).squeeze(-2 if other.ndim > 1 else 0)
        if other.ndim == 1:
            return (self @ other.unsqueeze(1)).squeeze(-1)
        if self.shape[-1] != other.shape[-2]:
            raise ValueError(f"cannot multiply {words(self.shape)} by {words(other.shape)}")
        if self.ndim == other.ndim == 2:
            return self._call(Op.MM, (self, other), self.dtype, (self.shape[0], other.shape[1]))
        if self.ndim == other.ndim:
            if self.shape[0] != other.shape[0]:
                raise ValueError(f"batches differ: {words(self.shape)} and {words(other.shape)}")
            shape = (*self.shape[:2], other.shape[2])
            return self._call(Op.BMM, (self, other), self.dtype, shape)
        if self.ndim == 3:
            rows = self.reshape(-1, self.shape[-1]) @ other
            return rows._shaped((*self.shape[:-1], other.shape[-1]))
        raise ValueError(f"cannot multiply {words(self.shape)} by {words(other.shape)}")


def cat(expressions: Sequence[Expression], dim: int = 0) -> Expression:
    """Join along a dimension, as ``torch.cat``."""
    first = expressions[0] if expressions else None
    if first is None or not first.ndim:
        raise ValueError("cat needs values with at least one dimension")
    at = axis(dim, first.ndim)
    others = {value.shape[:at] + value.shape[at + 1 :] for value in expressions}
    if len(others) > 1 or any(value.ndim != first.ndim for value in expressions):
        raise ValueError(f"cannot cat {' and '.join(words(value.shape) for value in expressions)}")
    dtype = promote([(value.dtype, True) for value in expressions])
    sizes = [value.shape[at] for value in expressions]
    joined = sum(size for size in sizes if isinstance(size, int))
    total: Size = joined if all(isinstance(size, int) for size in sizes) else _joined(sizes)
    shape = (*first.shape[:at], total, *first.shape[at + 1 :])
    return first._call(Op.CAT, (tuple(expressions), at), dtype, shape)


def stack(expressions: Sequence[Expression], dim: int = 0) -> Expression:
    """Join along a new dimension, as ``torch.stack``."""
    return cat([value.unsqueeze(dim) for value in expressions], dim)


def where(condition: Expression, value: Expression | Number, other: Expression | Number) -> Expression:
    """Take elements of one where a condition holds, of the other elsewhere."""
    first = value if isinstance(value, Expression) else condition._filled(value)
    return first.where(condition, other)


def maximum(value: Expression, other: Expression) -> Expression:
    """Larger of two, element by element."""
    return value.maximum(other)


def minimum(value: Expression, other: Expression) -> Expression:
    """Smaller of two, element by element."""
    return value.minimum(other)


def to_plan(
    expressions: Expression | Mapping[str, Expression], *, name: str = "expression"
) -> tuple[Plan, dict[str, Source]]:
    """Make one plan of one or several expressions, and say which source feeds which input.

    Equal parts are computed once. A single expression becomes the output ``output``. The plan depends on
    neither keys nor numbers of rows, so its digest names the question, whatever the data.

    Raises:
        PlanRejectedError: the expression is too large for a plan.
    """
    named = {"output": expressions} if isinstance(expressions, Expression) else dict(expressions)
    draft = _Draft()
    for value in named.values():
        draft.add(value)
    outputs = tuple(Output(key, Role.OUTPUT, draft.names[_key(value)]) for key, value in named.items())
    plan = simplify(
        Plan(
            name=name,
            kind=Kind.STATISTICS,
            producer=PRODUCER,
            dims=tuple((dim.name, DimRange(1)) for dim in sorted(draft.dims.values(), key=lambda d: d.name)),
            inputs=tuple(draft.inputs),
            constants=tuple(draft.constants),
            steps=tuple(draft.steps),
            outputs=outputs,
        )
    )
    check(plan)
    return plan, {draft.sources[source]: source for source in draft.sources}


def sources(value: Expression) -> tuple[Source, ...]:
    """Give the stored tensors that an expression reads, each once, in order of first use."""
    return tuple(dict.fromkeys(v.origin for v in _ordered(value) if isinstance(v.origin, Source)))


def _joined(sizes: Sequence[Size]) -> Dim:
    return Dim("?cat " + " ".join(size.name if isinstance(size, Dim) else str(size) for size in sizes))


def _key(value: Value) -> tuple[int, int]:
    return id(value.origin), value.place


def _operands(value: Value) -> Iterator[Value]:
    for argument in value.origin.args if isinstance(value.origin, Call) else ():
        if isinstance(argument, Value):
            yield argument
        elif isinstance(argument, tuple):
            yield from (item for item in argument if isinstance(item, Value))


def _ordered(value: Value) -> Iterator[Value]:
    """Give every value that goes into one, operands first; without recursion, for long chains."""
    seen: set[int] = set()
    waiting: list[tuple[Value, bool]] = [(value, False)]
    while waiting:
        current, ready = waiting.pop()
        if ready:
            yield current
        elif id(current.origin) not in seen:
            seen.add(id(current.origin))
            waiting.append((current, True))
            waiting.extend((operand, False) for operand in _operands(current))


@dataclass(slots=True)
class _Draft:
    """A plan as it grows."""

    names: dict[tuple[int, int], str] = field(default_factory=dict)
    sources: dict[Source, str] = field(default_factory=dict)
    dims: dict[str, Dim] = field(default_factory=dict)
    inputs: list[Input] = field(default_factory=list)
    constants: list[Constant] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)

    def add(self, value: Value) -> None:
        """Add everything that a value needs and that is not there yet."""
        for part in _ordered(value):
            if _key(part) in self.names:
                continue
            match part.origin:
                case Source() as source:
                    self.names[_key(part)] = self._input(source)
                case Literal(dtype, shape, data):
                    name = f"c{len(self.constants)}"
                    self.constants.append(Constant(name, dtype, shape, data))
                    self.names[_key(part)] = name
                case Call() as call:
                    self._step(call)

    def _input(self, source: Source) -> str:
        if source not in self.sources:
            name = f"x{len(self.sources)}"
            self.sources[source] = name
            shape = tuple(self._size(size) for size in source.shape)
            self.inputs.append(Input(name, Role.DATA, source.dtype, shape))
        return self.sources[source]

    def _size(self, size: Size) -> Size:
        if isinstance(size, Dim):
            return self.dims.setdefault(size.name, Dim(f"N{len(self.dims)}"))
        return size

    def _step(self, call: Call) -> None:
        out = tuple(f"v{len(self.steps)}.{place}" for place in range(SPECS[call.op].results))
        args = tuple(self._argument(argument) for argument in call.args)
        self.steps.append(Step(call.op, args, out))
        self.names.update(((id(call), place), name) for place, name in enumerate(out))

    def _argument(self, argument: object) -> Argument:
        if isinstance(argument, Value):
            return Ref(self.names[_key(argument)])
        if isinstance(argument, tuple) and any(isinstance(item, Value) for item in argument):
            return tuple(Ref(self.names[_key(i)]) if isinstance(i, Value) else None for i in argument)
        if isinstance(argument, tuple):
            return tuple(self._size(item) for item in argument)
        return cast(Argument, argument)
