"""A line to who follows a run: the newest word of each kind, in order, beside the work it tells of."""

import threading
import time
from collections.abc import Callable
from typing import Final

from gridward.core.schemas.runs import RoundRecord, RunWord

_FIRST_PAUSE_S: Final = 1.0
_MOST_PAUSE_S: Final = 60.0


class Line:
    """Passes on what is said, in a thread of its own that ends with the process.

    ``post`` gives False for what was not heard: it is said again, later each time, unless something newer
    under the same key took its place. So what waits is bounded by the keys.
    """

    def __init__(self, post: Callable[[str, RunWord | RoundRecord], bool]) -> None:
        self._post = post
        self._waiting: dict[str, tuple[str, RunWord | RoundRecord]] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._pause_s = 0.0
        self._until = float("inf")

    def say(self, key: str, what: str, body: RunWord | RoundRecord) -> None:
        """Pass this on, instead of what waits under this key."""
        with self._changed:
            self._waiting.pop(key, None)
            self._waiting[key] = (what, body)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="run", daemon=True)
                self._thread.start()

    def settle(self, most_s: float) -> None:
        """Wait until all was heard, at most so many seconds; not at all while nobody hears."""
        with self._changed:
            self._changed.wait_for(lambda: self._thread is None or self._pause_s > 0, most_s)

    def end(self, most_s: float) -> None:
        """Wait until all was heard, at most so many seconds; nothing is said after them."""
        with self._changed:
            self._until, self._pause_s = time.monotonic() + most_s, 0.0
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._thread is None, most_s)

    def _run(self) -> None:
        while (said := self._next()) is not None:
            key, what, body = said
            heard = self._post(what, body)
            with self._changed:
                self._pause_s = 0.0 if heard else min(max(_FIRST_PAUSE_S, 2 * self._pause_s), _MOST_PAUSE_S)
                if not heard:
                    self._waiting = {key: (what, body)} | self._waiting
                self._changed.notify_all()

    def _next(self) -> tuple[str, str, RunWord | RoundRecord] | None:
        """Give what is to be said now, after the pause that a failure brought; None: the thread ends."""
        with self._changed:
            if self._pause_s:
                self._changed.wait_for(lambda: self._pause_s == 0.0, self._pause_s)
            if not self._waiting or time.monotonic() >= self._until:
                self._thread = None
                self._changed.notify_all()
                return None
            key = next(iter(self._waiting))
            return key, *self._waiting.pop(key)
