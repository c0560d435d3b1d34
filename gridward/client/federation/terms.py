"""When a round of a run ends, and how many nodes make it count."""

import time
from dataclasses import dataclass
from math import ceil

from gridward.core.errors import InvalidInputError, TrainingError


@dataclass(frozen=True, slots=True)
class Terms:
    """Terms of every round.

    ``deadline_s`` after its begin a round ends without those that have not answered; None waits for all.
    ``quorum``: nodes that must answer, as a number (int) or as a part of those asked (float up to 1).
    ``wait_s``: how long a run waits for nodes to come back when a round had too few, before it stops.
    """

    deadline_s: float | None = None
    quorum: int | float | None = None
    wait_s: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what no round can keep."""
        if self.deadline_s is not None and not self.deadline_s > 0:
            raise InvalidInputError(f"deadline_s is above 0 seconds, not {self.deadline_s:g}")
        if not 0 <= self.wait_s < float("inf"):
            raise InvalidInputError(f"wait_s is a number of seconds, not {self.wait_s:g}")
        part = isinstance(self.quorum, float)
        if self.quorum is not None and not (0 < self.quorum <= 1 if part else self.quorum >= 1):
            raise InvalidInputError(
                f"quorum is a number of nodes, or a part of them such as 0.5, not {self.quorum}"
            )

    def needed(self, nodes: int, least: int) -> int:
        """Give how many of ``nodes`` must answer; never fewer than ``least``, the strategy's word."""
        wanted = self.quorum if self.quorum is not None else 1
        return max(least, ceil(wanted * nodes) if isinstance(wanted, float) else wanted)


class Deadline:
    """A moment after which a round takes nothing more; counts from when it was made."""

    def __init__(self, seconds: float | None) -> None:
        self._until = None if seconds is None else time.monotonic() + seconds

    def left_s(self, most: float) -> float:
        """Seconds left, at least 0 and at most ``most``."""
        return most if self._until is None else min(most, max(0.0, self._until - time.monotonic()))

    def call_s(self, most: float) -> float:
        """Seconds that a call may take, at most ``most``; raises ``TrainingError`` if none are left."""
        if self.passed:
            raise TrainingError("the round ended before all was sent or fetched")
        return self.left_s(most)

    def end(self) -> None:
        """Let it pass now."""
        self._until = time.monotonic()

    @property
    def passed(self) -> bool:
        """Whether it has passed."""
        return self.left_s(1.0) == 0.0
