"""Threads beside the requests: a bell that wakes them, and a task that repeats."""

import logging
import threading
from collections.abc import Callable
from typing import Final

from sqlalchemy.exc import SQLAlchemyError
from structlog.contextvars import bind_contextvars

_log: Final = logging.getLogger("gridward.jobs")


class Bell:
    """Lets any number of threads wait for the next ring; each hears every ring that came since its last."""

    def __init__(self) -> None:
        self._rings = 0
        self._condition = threading.Condition()

    def ring(self) -> None:
        """Wake everyone who waits."""
        with self._condition:
            self._rings += 1
            self._condition.notify_all()

    def wait(self, heard: int, timeout_s: float) -> int:
        """Wait until there are more rings than `heard`, or the time is over; returns the number of rings."""
        with self._condition:
            self._condition.wait_for(lambda: self._rings > heard, timeout_s)
            return self._rings


class Repeated:
    """A task that runs at once and then again after every `pause_s` seconds, until it is stopped.

    A database that fails once does not end it; anything else unexpected does, loudly.
    """

    def __init__(self, name: str, pause_s: float, task: Callable[[], None]) -> None:
        self._pause_s = pause_s
        self._task = task
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, after the run that is under way."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        bind_contextvars(job=self._thread.name)
        while not self._stopping.is_set():
            try:
                self._task()
            except SQLAlchemyError:
                _log.exception("%s failed; it will try again", self._thread.name)
            self._stopping.wait(self._pause_s)
