"""Work beside the requests: named, done once however often it is asked for before it begins, and put off."""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeAlias

from gridward.server.logs import carried

Task: TypeAlias = Callable[[], None]
_log: Final = logging.getLogger("gridward.errands")


class Errands:
    """Tasks by key that a few threads do in the order in which they fall due; a key is done by one at a time.

    ``niceness`` makes the threads give way to others, where the system can (Linux). A task that fails is
    logged and is not done again unless asked for.
    """

    def __init__(self, name: str, threads: int = 1, niceness: int = 0) -> None:
        self._changed = threading.Condition()
        self._due: dict[str, tuple[float, Task]] = {}
        self._doing: set[str] = set()
        self._niceness = niceness
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-{at}", daemon=True) for at in range(threads)
        ]
        self._started = False

    def ask(self, key: str, task: Task, delay_s: float = 0.0) -> None:
        """Have a task done, after ``delay_s`` at the earliest; one that waits under the key is replaced.

        An earlier time stands: asking again never puts off what was asked for sooner.
        """
        due = time.monotonic() + delay_s
        with self._changed:
            if self._stopping:
                return
            if key in self._due:
                due = min(due, self._due.pop(key)[0])
            self._due[key] = due, carried(task)
            if not self._started:
                self._started = True
                for thread in self._threads:
                    thread.start()
            self._changed.notify()

    def close(self) -> None:
        """Stop: what waits is dropped, what is being done is waited for."""
        with self._changed:
            self._stopping = True
            self._due.clear()
            self._changed.notify_all()
        if self._started:
            for thread in self._threads:
                thread.join()

    def _run(self) -> None:
        if self._niceness and sys.platform == "linux":
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self._niceness)
        while (taken := self._next()) is not None:
            key, task = taken
            try:
                task()
            except Exception:  # noqa: BLE001 (a thread of its own: nobody else would tell of a bug)
                _log.exception("an errand failed: %s", key)
            with self._changed:
                self._doing.discard(key)
                self._changed.notify_all()

    def _next(self) -> tuple[str, Task] | None:
        with self._changed:
            while not self._stopping:
                free = [(due, key) for key, (due, _) in self._due.items() if key not in self._doing]
                now = time.monotonic()
                due, key = min(free, default=(now + 3600.0, ""))
                if free and due <= now:
                    self._doing.add(key)
                    return key, self._due.pop(key)[1]
                self._changed.wait(due - now)
            return None
