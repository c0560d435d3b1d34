"""``gw.cat``: rows of one node joined there; rows of several nodes stay where they are, and are summed."""

from collections.abc import Sequence
from typing import Final, NoReturn

import torch

from gridward.client import secure_sum
from gridward.client.dataset_pointers import DatasetPointer
from gridward.client.place import Place
from gridward.client.pointers import METHODS, Pointer, join
from gridward.client.secure_sum import Part
from gridward.core.errors import InvalidInputError, NotAvailableYetError
from gridward.core.schemas.secure_sums import SumOutput

FRACTION_BITS: Final = 24
_TOTAL: Final = "total"
_COUNT: Final = "count"
_REFUSED: Final = METHODS | {"get", "materialize", "request", "shape", "dtype"}


class _NoOperators:
    """Says what is supported where torch's operators are not: on rows and totals of several nodes."""

    __hash__ = object.__hash__

    def _refuse(self, *_: object) -> NoReturn:
        raise _unavailable("an operator")

    def __eq__(self, other: object) -> NoReturn:
        self._refuse()

    def __ne__(self, other: object) -> NoReturn:
        self._refuse()

    __add__ = _refuse
    __radd__ = _refuse
    __sub__ = _refuse
    __rsub__ = _refuse
    __mul__ = _refuse
    __rmul__ = _refuse
    __truediv__ = _refuse
    __rtruediv__ = _refuse
    __floordiv__ = _refuse
    __mod__ = _refuse
    __pow__ = _refuse
    __rpow__ = _refuse
    __matmul__ = _refuse
    __rmatmul__ = _refuse
    __lt__ = _refuse
    __le__ = _refuse
    __gt__ = _refuse
    __ge__ = _refuse
    __and__ = _refuse
    __or__ = _refuse
    __xor__ = _refuse
    __neg__ = _refuse
    __invert__ = _refuse
    __abs__ = _refuse
    __len__ = _refuse
    __iter__ = _refuse
    __bool__ = _refuse


class SpreadRows(_NoOperators):
    """Rows that stay on several nodes. Only their total is ever known: ``sum``, ``mean``."""

    __hash__ = object.__hash__

    def __init__(self, pointers: Sequence[Pointer]) -> None:
        self._pointers = tuple(pointers)

    def __repr__(self) -> str:
        return f"<SpreadRows {', '.join(map(repr, self._pointers))}>"

    def __getitem__(self, name: object) -> "SpreadRows":
        if not isinstance(name, str):
            raise _unavailable("indexing")
        single = [pointer for pointer in self._pointers if not isinstance(pointer, DatasetPointer)]
        if single:
            raise InvalidInputError(f"{single[0]!r} has no columns to name")
        return SpreadRows([pointer[name] for pointer in self._pointers])

    def __getattr__(self, name: str) -> NoReturn:
        if name in _REFUSED:
            raise _unavailable(name)
        raise AttributeError(f"rows of several nodes have no {name!r}; there are sum and mean")

    def sum(self, dim: int | None = None, *, fraction_bits: int = FRACTION_BITS) -> "SecureTotal":
        """Sum over the rows of all nodes (``dim=0``), or over everything (None); ``get`` runs it.

        ``fraction_bits`` (8 to 32): each node rounds its sum to a multiple of 2^-fraction_bits, and may have
        sums up to about 2^(61 - fraction_bits) / number of nodes. Integers are exact.
        """
        return SecureTotal(self._checked(dim), dim, fraction_bits, mean=False)

    def mean(self, dim: int | None = None, *, fraction_bits: int = FRACTION_BITS) -> "SecureTotal":
        """Mean over the rows of all nodes, each row weighing the same; as ``sum``."""
        pointers = self._checked(dim)
        dtype = pointers[0].dtype
        if not dtype.is_floating_point:
            raise TypeError(f"mean needs floating-point values, not {dtype}; use .double() on each pointer")
        return SecureTotal(pointers, dim, fraction_bits, mean=True)

    def _checked(self, dim: int | None) -> tuple[Pointer, ...]:
        if dim not in (None, 0):
            raise _unavailable(f"dim={dim}")
        first = self._pointers[0]
        for pointer in self._pointers:
            if not pointer.ndim:
                raise InvalidInputError(f"{pointer!r} is a single number; rows are joined")
            if (pointer.dtype, pointer.shape[1:], _columns(pointer)) != (
                first.dtype,
                first.shape[1:],
                _columns(first),
            ):
                raise InvalidInputError(f"{pointer!r} does not fit {first!r}; take the same columns of each")
        return self._pointers


class SecureTotal(_NoOperators):
    """A sum or mean over several nodes that is not computed yet."""

    def __init__(
        self, pointers: Sequence[Pointer], dim: int | None, fraction_bits: int, *, mean: bool
    ) -> None:
        self._pointers = tuple(pointers)
        self._dim = dim
        self._fraction_bits = fraction_bits
        self._mean = mean

    def __repr__(self) -> str:
        names = ", ".join(sorted({pointer.location.name for pointer in self._pointers}))
        return f"<SecureTotal {'mean' if self._mean else 'sum'} @{names}>"

    def __getattr__(self, name: str) -> NoReturn:
        if name in _REFUSED:
            raise _unavailable(name)
        raise AttributeError(f"a secure total has no {name!r}; get() computes it")

    def get(self, *, aggregators: Sequence[str] = ()) -> torch.Tensor:
        """Run the secure sum: you learn the total over all nodes, nobody learns anything else.

        Each node must release its own sum to you by its own rules; it sends it as additive shares to the
        ``aggregators``, live nodes of different owners (names; left out, the contributors that offer the
        role, and others where these are less than two). Aggregators learn nothing unless *all* of them share
        notes, with each other or with you: then every node's sum is open to them. With two nodes, whoever
        knows one sum learns the other from the total.
        Raises the refusal of a node, naming it: ``GetNotPermittedError``, ``ResultSuppressedError``,
        ``OutOfRangeError`` (see ``sum``), ``DeploymentRefusedError``, ``NodeUnreachableError``;
        ``NoMatchError`` if there are no two aggregators.
        """
        first = self._pointers[0]
        real = first.dtype.is_floating_point
        extents = [size for size in first.shape[1:] if size is not None] if self._dim == 0 else []
        outputs = [SumOutput(name=_TOTAL, dtype="float64" if real else "int64", shape=extents)]
        if self._mean:
            outputs.append(SumOutput(name=_COUNT, dtype="int64", shape=extents))
        found = secure_sum.add_up(
            self._parts(), outputs, fraction_bits=self._fraction_bits, aggregators=aggregators
        )
        total = torch.from_numpy(found[_TOTAL])
        if self._mean:
            total = total / torch.from_numpy(found[_COUNT])
        return total.to(first.dtype) if real else total

    def _parts(self) -> list[Part]:
        places: dict[str, Place] = {}
        sums: dict[str, Pointer] = {}
        counts: dict[str, Pointer] = {}
        for pointer in self._pointers:
            node = pointer.location.id
            places.setdefault(node, pointer.location)
            wide = pointer.to(torch.float64) if pointer.dtype.is_floating_point else pointer
            total = wide.sum(self._dim)
            every = (pointer == pointer) | (pointer != pointer)  # also where a value is not a number
            count = every.sum(self._dim)
            sums[node] = sums[node] + total if node in sums else total
            counts[node] = counts[node] + count if node in counts else count
        return [
            Part(place, {_TOTAL: sums[node]._value} | ({_COUNT: counts[node]._value} if self._mean else {}))
            for node, place in places.items()
        ]


def cat(pointers: Sequence[Pointer], dim: int = 0) -> Pointer | SpreadRows:
    """Join pointers along a dimension, as ``torch.cat``.

    On one node the result is a pointer. Over several nodes rows can be joined (``dim=0``): they stay where
    they are, and only ``sum`` and ``mean`` can be asked, as secure sums.
    """
    if not pointers:
        raise InvalidInputError("there is nothing to join")
    if len({pointer.location.id for pointer in pointers}) == 1:
        return join(pointers, dim)
    if dim != 0:
        raise InvalidInputError("over several nodes only rows can be joined: dim=0")
    return SpreadRows(pointers)


def _columns(pointer: Pointer) -> tuple[str, ...]:
    return pointer.columns if isinstance(pointer, DatasetPointer) and len(pointer.columns) > 1 else ()


def _unavailable(what: str) -> NotAvailableYetError:
    return NotAvailableYetError(
        f"{what} over several nodes is not part of this version; gw.cat([…]) of several nodes has sum and "
        "mean over all rows (dim=0) or everything, also of one column by name, and their get()"
    )
