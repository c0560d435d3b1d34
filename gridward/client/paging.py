"""Lists that come in pages."""

from collections.abc import Callable
from typing import Protocol, TypeVar

Item = TypeVar("Item")
_PAGE = 100


class Page(Protocol[Item]):
    """A stretch of a list, and how long the whole is."""

    items: list[Item]
    total: int


def collected(fetch: Callable[[dict[str, int]], Page[Item]]) -> list[Item]:
    """All items; ``fetch`` takes ``offset`` and ``limit``."""
    return collected_up_to(None, fetch)[0]


def collected_up_to(
    most: int | None, fetch: Callable[[dict[str, int]], Page[Item]]
) -> tuple[list[Item], int]:
    """The first ``most`` items, and how many there are in all."""
    items: list[Item] = []
    while True:
        wanted = _PAGE if most is None else min(_PAGE, most - len(items))
        page = fetch({"offset": len(items), "limit": wanted})
        items += page.items
        if not page.items or len(items) >= page.total or len(items) == most:
            return items, page.total
