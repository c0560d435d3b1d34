"""Waiting for several nodes at once: answers as they come, and in the meantime who is waited for."""

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Final, TypeVar

from gridward.client.federation.presence import Presence, waiting
from gridward.client.federation.terms import Deadline

_Answer = TypeVar("_Answer")
_LOOK_S: Final = 5.0
_GRACE_S: Final = 2.0


@contextmanager
def threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """Give every node a thread; one that hangs is left to itself, and takes none of the next round's."""
    pool = ThreadPoolExecutor(count, "node")
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def arrivals(
    work: dict[Future[_Answer], str],
    deadline_s: float | None,
    presence: Presence,
    tell: Callable[[str], None],
) -> Iterator[tuple[str, Future[_Answer] | None]]:
    """Give each node with its answer as it comes; None for those that hang beyond the deadline.

    ``work`` is used up: an answer may be large, and is nobody's once it was given.

    Each node's own thread ends its errand at the deadline; one that hangs longer is left to itself.
    """
    left, asked = set(work), len(work)
    last = Deadline(None if deadline_s is None else deadline_s + _GRACE_S)
    while left and not last.passed:
        done, left = wait(left, last.left_s(_LOOK_S), FIRST_COMPLETED)
        for one in done:
            yield work.pop(one), one
        if left:
            tell(waiting(asked - len(left), asked, [work[one] for one in left], presence()))
    for one in left:
        one.cancel()
        yield work[one], None
