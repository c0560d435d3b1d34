"""``gw.cat``: rows of one node joined there; rows of several nodes stay where they are."""

from collections.abc import Sequence
from typing import NoReturn

from gridward.client.pointers import Pointer, join
from gridward.core.errors import InvalidInputError, NotAvailableYetError


class SpreadRows:
    """Rows that stay on several nodes. Only their total is ever meant to be known: ``sum`` and ``mean``."""

    def __init__(self, pointers: Sequence[Pointer]) -> None:
        self._pointers = tuple(pointers)

    def __repr__(self) -> str:
        return f"<SpreadRows {', '.join(map(repr, self._pointers))}>"

    def sum(self, dim: int | None = None) -> NoReturn:
        """Sum over all nodes as a secure sum: not part of this version."""
        raise self._unavailable("sum")

    def mean(self, dim: int | None = None) -> NoReturn:
        """Mean over all nodes as a secure sum: not part of this version."""
        raise self._unavailable("mean")

    def _unavailable(self, what: str) -> NotAvailableYetError:
        names = ", ".join(sorted({pointer.location.name for pointer in self._pointers}))
        return NotAvailableYetError(
            f"the {what} over several nodes ({names}) as a secure sum is not part of this version; "
            "ask each node for its own aggregate if you may know it"
        )


def cat(pointers: Sequence[Pointer], dim: int = 0) -> Pointer | SpreadRows:
    """Join pointers along a dimension, as ``torch.cat``.

    On one node the result is a pointer. Over several nodes rows can be joined (``dim=0``): they stay where
    they are, and only ``sum`` and ``mean`` can be asked.
    """
    if not pointers:
        raise InvalidInputError("there is nothing to join")
    if len({pointer.location.id for pointer in pointers}) == 1:
        return join(pointers, dim)
    if dim != 0:
        raise InvalidInputError("over several nodes only rows can be joined: dim=0")
    return SpreadRows(pointers)
