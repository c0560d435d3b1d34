"""How many bytes may be used of something, whoever uses them."""

import threading


class Budget:
    """Bytes in use, at most ``limit_bytes``. Safe for several threads."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._used_bytes = 0
        self._lock = threading.Lock()

    @property
    def used_bytes(self) -> int:
        """What is in use."""
        return self._used_bytes

    def reserve(self, count_bytes: int, share: float = 1.0) -> bool:
        """Take bytes if no more than ``share`` of the limit is in use then; says whether they were."""
        with self._lock:
            if self._used_bytes + count_bytes > share * self.limit_bytes:
                return False
            self._used_bytes += count_bytes
            return True

    def take(self, count_bytes: int) -> None:
        """Take bytes that are in use already, whatever the limit."""
        with self._lock:
            self._used_bytes += count_bytes

    def release(self, count_bytes: int) -> None:
        """Give bytes back."""
        with self._lock:
            self._used_bytes -= count_bytes
