"""Thresholds on who is behind a value, and what a run says of it: pure, and blind to the values themselves.

They bound what one answer tells of its largest contributors. They do not stop differencing: two answers that
each pass may differ by one person's part.

Sources: the (n, k) and p-percent rules as in Hundepool et al., Statistical Disclosure Control, 2012, and the
defaults of the SACRO guidelines for checkers of outputs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gridward.core.privacy.contributions import Fit, Unfollowed
from gridward.core.privacy.rounding import Disguised


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What the owner of a dataset asks of an answer; None: that is not looked at.

    ``entities``: fewest distinct entities behind a value (None: as many as rows). ``largest_two``: most that
    the two largest contributors may be of all that is added up. ``p_ratio``: least that all others contribute
    beside the largest and second, as a part of the largest. ``residual_degrees``: fewest entities more than
    parameters of a fitted model; ``parameter_share``: most parameters for each entity. ``round_counts``:
    counts are rounded to multiples of it.
    """

    entities: int | None = None
    largest_two: float | None = 0.9
    p_ratio: float | None = 0.1
    residual_degrees: int | None = 10
    parameter_share: float | None = 0.33
    round_counts: int = 1

    @property
    def weighs(self) -> bool:
        """Say whether contributions are looked at."""
        return self.largest_two is not None or self.p_ratio is not None

    def overfits(self, parameters: int, entities: int) -> bool:
        """Say whether a model of so many parameters may tell of single ones among so many entities."""
        free, share = self.residual_degrees, self.parameter_share
        return (free is not None and entities - parameters < free) or (
            share is not None and parameters > share * entities
        )


@dataclass(frozen=True, slots=True)
class Contributed:
    """Who is behind one sum over rows of ``table``, the worst of its elements.

    ``largest_two``: their share of all absolute contributions. ``p_ratio``: what the others contribute, for
    each unit of the largest. ``fewest``: entities behind an element that has any.
    """

    table: str
    largest_two: float
    p_ratio: float
    fewest: float

    def few(self, entities: int) -> bool:
        """Say whether some element is made by fewer than so many entities."""
        return self.fewest < entities

    def dominated(self, thresholds: Thresholds) -> bool:
        """Say whether its largest contributors could be told from it, or tell each other."""
        most, least = thresholds.largest_two, thresholds.p_ratio
        return (most is not None and not self.largest_two <= most) or (
            least is not None and not self.p_ratio >= least
        )


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of those behind the results: from the plan alone (fits, unfollowed), and from its run.

    ``unnumbered``: tables of which nobody knows any more whose each row is, so that ``contributed`` and what
    masks let through say nothing of their entities. ``disguised``: counts that are not rounded.
    """

    contributed: Sequence[Contributed] = ()
    fits: Sequence[Fit] = ()
    unfollowed: Sequence[Unfollowed] = ()
    unnumbered: frozenset[str] = frozenset()
    disguised: Sequence[Disguised] = ()


NOTHING: Final = Evidence()
DEFAULTS: Final = Thresholds()
