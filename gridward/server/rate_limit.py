"""Token buckets against guessing: in memory, bounded, one per key."""

import threading
from collections.abc import Callable
from typing import Final

from gridward.core.errors import TooManyAttemptsError

_MOST_KEYS: Final = 10_000


class RateLimit:
    """At most `attempts` per `window_s` seconds for each key; a spent attempt comes back evenly over time."""

    def __init__(self, attempts: int, window_s: float, now_s: Callable[[], float]) -> None:
        self._capacity = float(attempts)
        self._refill_per_s = attempts / window_s
        self._now_s = now_s
        self._buckets: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def take(self, key: str) -> None:
        """Spend one attempt, or raise `TooManyAttemptsError` that says when to come back."""
        with self._lock:
            left = self._left(key)
            if left < 1:
                wait_s = (1 - left) / self._refill_per_s
                raise TooManyAttemptsError(
                    f"too many attempts; come back in {wait_s:.0f} s", retry_after_s=wait_s
                )
            self._set(key, left - 1)

    def give_back(self, key: str) -> None:
        """Return an attempt that was no guess: the password was right."""
        with self._lock:
            self._set(key, min(self._capacity, self._left(key) + 1))

    def _left(self, key: str) -> float:
        tokens, at_s = self._buckets.get(key, (self._capacity, self._now_s()))
        return min(self._capacity, tokens + (self._now_s() - at_s) * self._refill_per_s)

    def _set(self, key: str, tokens: float) -> None:
        self._buckets.pop(key, None)
        if tokens >= self._capacity:
            return
        if len(self._buckets) >= _MOST_KEYS:
            # The oldest key goes: an attacker with many names still meets the global limit.
            del self._buckets[next(iter(self._buckets))]
        self._buckets[key] = (tokens, self._now_s())
