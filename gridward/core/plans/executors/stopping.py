"""How another thread ends a call of a worker process that nobody wants any more."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gridward.core.errors import TrainingError


class Stop:
    """Asked for once by any thread; whoever runs at that time is killed, whoever begins later does not."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked = False
        self._kill: Callable[[], None] | None = None

    @property
    def asked(self) -> bool:
        """Whether the end was asked for."""
        return self._asked

    def check(self) -> None:
        """Raise ``TrainingError`` if the end was asked for."""
        if self._asked:
            raise TrainingError("it was stopped")

    def ask(self) -> None:
        """End what runs, and what would begin."""
        with self._lock:
            self._asked = True
            if self._kill is not None:
                self._kill()

    @contextmanager
    def killing(self, kill: Callable[[], None]) -> Iterator[None]:
        """Call ``kill`` if the end is asked for before or during the block, and never after it."""
        with self._lock:
            self._kill = kill
            if self._asked:
                kill()
        try:
            yield
        finally:
            with self._lock:
                self._kill = None
