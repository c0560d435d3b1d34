"""The layout of a largest value found by comparing all pairs: which pairs, and which bits make a winner.

Candidate i wins where no earlier one is as large and no later one is larger: one of n always does. The last
candidate, or 0 where that is one, wins when no other does, and has no bit of its own.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import TypeAlias

from gridward.core.smpc.comparison import Comparison, Merge, conjunction

Rows: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Pairing:
    """``pairs`` (i, j) with i < j, compared as [c_i < c_j]; for each winner the pairs that decide, in order.

    ``flips`` says of each of those whether the bit counts negated; ``layout`` how the bits are multiplied.
    """

    pairs: tuple[tuple[int, int], ...]
    deciding: tuple[Rows, ...]
    flips: tuple[tuple[bool, ...], ...]
    layout: Comparison

    @property
    def levels(self) -> tuple[tuple[Merge, ...], ...]:
        """Give the levels of products."""
        return self.layout.levels

    @property
    def winners(self) -> int:
        """Count the candidates that have a bit of their own."""
        return len(self.deciding)


@lru_cache(maxsize=64)
def plan_pairing(candidates: int) -> Pairing:
    """Lay out the comparison of all pairs of two candidates or more."""
    pairs = tuple(combinations(range(candidates), 2))
    deciding = [
        tuple(at for at, pair in enumerate(pairs) if winner in pair) for winner in range(candidates - 1)
    ]
    flips = [tuple(pairs[at][0] == winner for at in rows) for winner, rows in enumerate(deciding)]
    return Pairing(pairs, tuple(deciding), tuple(flips), Comparison((), conjunction(candidates - 1)))
