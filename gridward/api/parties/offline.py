"""What a node keeps and does for bundles beside its requests, as a provider and as a party."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from gridward.api.parties.budget import Budget
from gridward.api.parties.errands import Errands
from gridward.api.parties.shelf import Shelf

DEALT_AT_ONCE: Final = 4
NICENESS: Final = 10


@dataclass(slots=True, eq=False)
class Offline:
    """Shelves by deployment, and the threads that deal ahead, refill and wipe.

    Parties that wait are served by their own requests, ``DEALT_AT_ONCE`` bundles at a time; dealing ahead
    rests meanwhile.
    """

    budget: Budget
    dealing: Errands = field(default_factory=lambda: Errands("dealing", niceness=NICENESS))
    refills: Errands = field(default_factory=lambda: Errands("refill", threads=2))
    wiping: Errands = field(default_factory=lambda: Errands("wiping"))
    failures: dict[str, int] = field(default_factory=dict)
    _shelves: dict[str, Shelf] = field(default_factory=dict)
    _slots: threading.BoundedSemaphore = field(
        default_factory=lambda: threading.BoundedSemaphore(DEALT_AT_ONCE)
    )
    _waiting: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def shelf(self, deployment_id: str, make: Callable[[], Shelf]) -> Shelf:
        """Give a deployment's shelf, reading it from the disk if it was not."""
        with self._lock:
            if deployment_id not in self._shelves:
                self._shelves[deployment_id] = make()
            return self._shelves[deployment_id]

    def remove_shelf(self, deployment_id: str) -> None:
        """Close a deployment's shelf for good."""
        with self._lock:
            shelf = self._shelves.pop(deployment_id, None)
        if shelf is not None:
            shelf.close()

    @contextmanager
    def urgent(self) -> Iterator[None]:
        """Deal for a party that waits."""
        with self._lock:
            self._waiting += 1
        try:
            with self._slots:
                yield
        finally:
            with self._lock:
                self._waiting -= 1

    @property
    def is_busy(self) -> bool:
        """Whether a party waits for a bundle to be dealt."""
        return self._waiting > 0

    def close(self) -> None:
        """Stop all threads, each after what it is at."""
        for errands in (self.dealing, self.refills, self.wiping):
            errands.close()
