"""How many connections each peer or caller holds at once."""

import threading
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from gridward.core.errors import BusyError


@dataclass(frozen=True, slots=True)
class Places:
    """Counts by key; a key that holds nothing takes no memory. Safe for several threads."""

    _held: Counter[Hashable] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def hold(self, limits: Mapping[Hashable, int]) -> Iterator[None]:
        """Take one place of each key, or raise ``BusyError`` where one has as many as its limit."""
        with self._lock:
            for key, limit in limits.items():
                if self._held[key] >= limit:
                    raise BusyError(f"{limit} connections of this kind are open; close some", retry_after_s=5)
            self._held.update(limits.keys())
        try:
            yield
        finally:
            with self._lock:
                self._held.subtract(limits.keys())
                for key in limits:
                    if self._held[key] == 0:
                        del self._held[key]

    def __len__(self) -> int:
        """Count the keys that hold something."""
        return len(self._held)
