"""Pointers: typed handles to tensors on a node. They follow torch, hold no value, compute when asked."""

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, NoReturn, TypeAlias, cast, overload

import numpy as np
import torch

from gridward.client import computations, notebook, requests, wire
from gridward.client.computations import Stored
from gridward.client.place import Place
from gridward.client.requests import Request
from gridward.core.errors import TensorsNotCollocatedError
from gridward.core.plans import expression
from gridward.core.plans.expression import Expression
from gridward.core.plans.expression_reductions import Extreme
from gridward.core.plans.expression_value import Value
from gridward.core.plans.plan import Dim, Size
from gridward.core.schemas.objects import ObjectOut

Operand: TypeAlias = "Pointer | torch.Tensor | np.ndarray[Any, Any] | float | int | bool"
Operator: TypeAlias = "Callable[[Pointer, Operand], Pointer]"

#: What a pointer can do is what an expression can do: named there, once.
METHODS: Final = frozenset(
    name for name, _ in inspect.getmembers_static(Expression) if name[0] != "_" and not hasattr(Value, name)
)


class Pair(NamedTuple):
    """Values and where they stand, as torch gives for ``max(dim)`` and ``sort``."""

    values: "Pointer"
    indices: "Pointer"


def _operator(name: str) -> Operator:
    def apply(self: "Pointer", other: Operand) -> "Pointer":
        return self._applied(name, other)

    return apply


def _reflected(name: str, straight: str) -> Operator:
    def apply(self: "Pointer", other: Operand) -> "Pointer":
        left = self._operand(other)
        if isinstance(left, Expression):
            value: Expression = getattr(left, straight)(self._value)
            return self._derived(value)
        return self._applied(name, other)

    return apply


class Pointer:
    """A tensor on a node that is not computed yet, or that is stored there.

    Methods, operators and indexing have torch's names and meaning; each gives a new pointer. What does not
    fit is refused here, before anything is sent. Values come with ``get``, if policy releases them.
    """

    __slots__ = ("_description", "_held", "_location", "_sizes", "_tags")
    __array_ufunc__ = None
    __hash__ = object.__hash__

    def __init__(
        self,
        location: Place,
        value: Expression | None,
        sizes: Mapping[str, int],
        *,
        description: str = "",
        tags: Sequence[str] = (),
    ) -> None:
        self._location = location
        self._held = value
        self._sizes = sizes
        self._description = description
        self._tags = tuple(tags)

    @classmethod
    def of_object(cls, location: Place, item: ObjectOut) -> "Pointer":
        """Point to a stored object."""
        rows = None
        if item.provenance.rows and item.tensor.shape:
            tables = [name.rpartition("@")[0] for name in item.provenance.datasets]
            rows = computations.rows_of(location, tables[0] if len(tables) == 1 else item.id)
        key = Stored(item.description or item.id, object_id=item.id)
        sizes = {rows.name: item.tensor.shape[0]} if rows is not None else {}
        value = computations.stored(key, item.tensor, rows)
        return Pointer(location, value, sizes, description=item.description, tags=item.tags)

    __add__ = _operator("__add__")
    __sub__ = _operator("__sub__")
    __mul__ = _operator("__mul__")
    __truediv__ = _operator("__truediv__")
    __floordiv__ = _operator("__floordiv__")
    __mod__ = _operator("__mod__")
    __pow__ = _operator("__pow__")
    __matmul__ = _operator("__matmul__")
    __lt__ = _operator("__lt__")
    __le__ = _operator("__le__")
    __gt__ = _operator("__gt__")
    __ge__ = _operator("__ge__")
    __and__ = _operator("__and__")
    __or__ = _operator("__or__")
    __xor__ = _operator("__xor__")
    __radd__ = _reflected("__radd__", "__add__")
    __rsub__ = _reflected("__rsub__", "__sub__")
    __rmul__ = _reflected("__rmul__", "__mul__")
    __rtruediv__ = _reflected("__rtruediv__", "__truediv__")
    __rpow__ = _reflected("__rpow__", "__pow__")
    __rmatmul__ = _reflected("__rmatmul__", "__matmul__")

    def __eq__(self, other: object) -> "Pointer":  # type: ignore[override]  # as in torch: element by element
        return self._applied("__eq__", other)

    def __ne__(self, other: object) -> "Pointer":  # type: ignore[override]  # as in torch
        return self._applied("__ne__", other)

    def __neg__(self) -> "Pointer":
        return self._applied("__neg__")

    def __invert__(self) -> "Pointer":
        return self._applied("__invert__")

    def __abs__(self) -> "Pointer":
        return self._applied("__abs__")

    def __getitem__(self, index: Any) -> "Pointer":  # noqa: ANN401 (whatever torch takes as an index)
        parts = index if isinstance(index, tuple) else (index,)
        return self._derived(self._value[tuple(self._operand(part) for part in parts)])

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 (a method, or a property such as T)
        if name not in METHODS:
            raise AttributeError(f"a pointer has no attribute {name!r}; dir(pointer) lists them")
        member = getattr(self._value, name)
        if isinstance(member, Expression):
            return self._derived(member)

        @functools.wraps(member)
        def method(*args: object, **options: object) -> Any:  # noqa: ANN401 (a pointer, or a pair of them)
            return self._computed(name, args, options)

        return method

    def __dir__(self) -> list[str]:
        return sorted({*object.__dir__(self), *METHODS})

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of a pointer to a single number")
        rows = self.shape[0]
        if rows is None:
            raise TypeError("only the node knows the number of rows")
        return rows

    def __iter__(self) -> NoReturn:
        raise TypeError("rows of a pointer are not iterated: each would be a question of its own")

    def __bool__(self) -> NoReturn:
        raise TypeError("a pointer has no truth value here; combine conditions with & | ~ and gw.where")

    @classmethod
    def __torch_function__(
        cls,
        function: Callable[..., object],
        _types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 (what the method gives)
        """Let ``torch.mean(pointer)`` mean ``pointer.mean()``, where there is such a method."""
        name = function.__name__
        if name not in METHODS or not isinstance(args[0], Pointer):
            raise TypeError(f"torch.{name} does not take pointers; dir(pointer) lists what they can do")
        return getattr(args[0], name)(*args[1:], **(kwargs or {}))

    def __float__(self) -> NoReturn:
        raise TypeError("a pointer holds no values; get() asks its node for them")

    __int__ = __float__

    def __array__(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("a pointer holds no values; get() asks its node for them")

    def __repr__(self) -> str:
        behind = ", ".join(computations.labels(self._value))
        words = (self.content, f"of {behind}" if behind else "", *self._tags, f"@{self._location.name}")
        return f"<Pointer {' '.join(word for word in words if word)}>"

    def _repr_html_(self) -> str:
        return notebook.facts(
            (
                ("node", self._location.name),
                ("content", self.content),
                ("of", ", ".join(computations.labels(self._value))),
                ("tags", " ".join(self._tags)),
                ("description", self._description),
            )
        )

    @property
    def location(self) -> Place:
        """The node."""
        return self._location

    @property
    def description(self) -> str:
        """What its owner says of it."""
        return self._description

    @property
    def tags(self) -> tuple[str, ...]:
        """Search words."""
        return self._tags

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Sizes; None where only the node knows, as after a mask."""
        return tuple(self._known(size) for size in self._value.shape)

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return self._value.ndim

    @property
    def dtype(self) -> torch.dtype:
        """Element type."""
        return wire.torch_dtype(self._value.dtype)

    @property
    def content(self) -> str:
        """Element type and sizes in words."""
        sizes = ", ".join("?" if size is None else str(size) for size in self.shape)
        return f"{self._value.dtype.value}[{sizes}]"

    def get(self) -> torch.Tensor:
        """Compute on the node and fetch the value, if the node's policy releases it to the caller.

        Cost: one round trip, however long the expression.
        Raises: ``GetNotPermittedError``, ``ResultSuppressedError`` (too few rows behind a value),
        ``PlanRejectedError``, ``PlanFailedError``, ``PlanLimitError``.
        """
        return computations.fetch(self._location, {"output": self._value})["output"]

    def materialize(self) -> "Pointer":
        """Compute on the node and keep the result there; its permission is the meet of its inputs'."""
        out = computations.compute(self._location, {"output": self._value})
        return Pointer.of_object(self._location, out.objects[0])

    @overload
    def request(self, reason: str, *, wait: Literal[False] = False) -> Request: ...

    @overload
    def request(
        self, reason: str, *, wait: Literal[True], timeout_s: float | None = None
    ) -> torch.Tensor | dict[str, torch.Tensor]: ...

    def request(
        self, reason: str, *, wait: bool = False, timeout_s: float | None = None
    ) -> Request | torch.Tensor | dict[str, torch.Tensor]:
        """Ask those who may open the data for this value, with a reason; they see exactly what is computed.

        Gives the request at once, or with ``wait`` the value when it was approved: then
        ``RequestPendingError`` after ``timeout_s``, ``GetNotPermittedError`` with the reason of a denial.
        Raises ``DuplicateRequestError`` naming the request in which the user asked the same.
        """
        asked = requests.ask(self._location, {"output": self._value}, reason)
        return asked.wait(timeout_s).get() if wait else asked

    @property
    def _value(self) -> Expression:
        if self._held is None:
            raise TypeError(self._choose())
        return self._held

    def _choose(self) -> str:
        """Say what to do with a pointer that stands for several tensors."""
        return "this pointer stands for several tensors; take one by its name"

    def _known(self, size: Size) -> int | None:
        return self._sizes.get(size.name) if isinstance(size, Dim) else size

    def _derived(self, value: Value, *others: object) -> "Pointer":
        sizes = dict(self._sizes)
        for other in others:
            sizes |= other._sizes if isinstance(other, Pointer) else {}
        return Pointer(self._location, cast(Expression, value), sizes)

    def _applied(self, name: str, *args: object) -> "Pointer":
        result: Pointer = self._computed(name, args, {})
        return result

    def _computed(self, name: str, args: tuple[object, ...], options: dict[str, object]) -> Any:  # noqa: ANN401
        """Apply a method of expressions; gives a pointer, or a pair of them where torch gives one."""
        taken = [self._operand(value) for value in args]
        named = {key: self._operand(value) for key, value in options.items()}
        result = getattr(self._value, name)(*taken, **named)
        operands = (*args, *options.values())
        if isinstance(result, Extreme):
            return Pair(self._derived(result.values, *operands), self._derived(result.indices, *operands))
        return self._derived(result, *operands)

    def _operand(self, value: object) -> Any:  # noqa: ANN401 (what an expression takes)
        """Turn what the user gives into what an expression takes; pointers must be of the same node."""
        if isinstance(value, Pointer):
            collocated((self, value))
            return value._value
        if isinstance(value, torch.Tensor | np.ndarray | np.generic):
            return computations.literal(torch.as_tensor(value))
        return wire.dtype_of(value) if isinstance(value, torch.dtype) else value


def collocated(pointers: Iterable[Pointer]) -> None:
    """Refuse pointers of different nodes; raises ``TensorsNotCollocatedError``."""
    nodes = {pointer.location.id: pointer.location.name for pointer in pointers}
    if len(nodes) > 1:
        raise TensorsNotCollocatedError(
            f"these pointers are on different nodes ({', '.join(sorted(nodes.values()))}); compute on each "
            "and join the answers, or join rows over nodes with gw.cat([…])"
        )


def stack(pointers: Sequence[Pointer], dim: int = 0) -> Pointer:
    """Join pointers of one node along a new dimension, as ``torch.stack``."""
    collocated(pointers)
    first, *rest = pointers
    return first._derived(expression.stack([one._value for one in pointers], dim), *rest)


def where(condition: Pointer, value: Operand, other: Operand) -> Pointer:
    """Take elements of ``value`` where the condition holds, of ``other`` elsewhere, as ``torch.where``."""
    taken = expression.where(condition._value, condition._operand(value), condition._operand(other))
    return condition._derived(taken, value, other)


def join(pointers: Sequence[Pointer], dim: int) -> Pointer:
    """Join pointers of one node along a dimension."""
    collocated(pointers)
    first, *rest = pointers
    return first._derived(expression.cat([one._value for one in pointers], dim), *rest)
