"""Pages of a list."""

from dataclasses import dataclass
from typing import Annotated, Final, TypeAlias

from fastapi import Query

SIZE: Final = 25
PageNumber: TypeAlias = Annotated[int, Query(alias="page", ge=1, le=10**7)]


@dataclass(frozen=True, slots=True)
class Paging:
    """Which page of how many; `number` counts from 1."""

    number: int
    total: int
    size: int = SIZE

    @property
    def last(self) -> int:
        """The last page's number."""
        return max(1, -(-self.total // self.size))


def offset(number: int, size: int = SIZE) -> int:
    """How many entries come before a page."""
    return (number - 1) * size
