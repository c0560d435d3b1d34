"""What a plan may use, and what a run of it was estimated to use."""

import math
from dataclasses import dataclass

from gridward.core.errors import PlanLimitError


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one run: bytes of values alive at once, seconds of wall clock, elementary operations."""

    memory_bytes: int = 2 * 2**30
    time_s: float = 60.0
    operations: int = 10**12

    def __post_init__(self) -> None:
        """Refuse limits that are not positive, finite numbers of seconds included."""
        if self.memory_bytes < 1 or self.operations < 1 or not 0 < self.time_s < math.inf:
            raise ValueError("limits are positive and finite")


@dataclass(frozen=True, slots=True)
class Estimate:
    """Upper estimates of one run: bytes alive at once (inputs included) and elementary operations."""

    peak_bytes: int
    operations: int


def admit(estimate: Estimate, limits: Limits) -> None:
    """Refuse a run that would need more than its limits, before any of it runs.

    Raises:
        PlanLimitError: names the need and the limit.
    """
    if estimate.peak_bytes > limits.memory_bytes:
        raise PlanLimitError(
            f"the plan needs about {estimate.peak_bytes:,} bytes of memory, "
            f"the limit is {limits.memory_bytes:,}; use fewer rows or a smaller batch"
        )
    if estimate.operations > limits.operations:
        raise PlanLimitError(
            f"the plan needs about {estimate.operations:,} elementary operations, "
            f"the limit is {limits.operations:,}; use fewer rows or a smaller model"
        )
