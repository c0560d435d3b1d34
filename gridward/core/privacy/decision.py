"""What a decision on a release is made of, and ends in: grants, questions, counts, answers, reasons."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import reduce
from typing import Final

from gridward.core.privacy.access import Way
from gridward.core.privacy.approvals import Request
from gridward.core.privacy.disclosure import DEFAULTS, Thresholds

RAW: Final = "raw"
COMPUTE: Final = "compute"
TRAIN: Final = "train"
EXPORT_MODEL: Final = "export_model"


class Answer(StrEnum):
    """What asking for a value can end in."""

    VALUE = "value"
    SUPPRESSED = "suppressed"
    PENDING = "pending"
    REFUSED = "refused"


class Reason(StrEnum):
    """Why; stable, for the audit log. None of them tells more of the data than the answer does."""

    PUBLIC = "public"
    RAW_ACCESS = "raw_access"
    AGGREGATE = "aggregate"
    EXPORT_ACCESS = "export_access"
    APPROVED = "approved"
    STANDING_RULE = "standing_rule"
    WAITING = "waiting"
    KEPT = "kept"
    NO_ACCESS = "no_access"
    NOT_AN_AGGREGATE = "not_an_aggregate"
    TOO_FEW_ROWS = "too_few_rows"
    ENTITIES_UNKNOWN = "entities_unknown"
    TOO_FEW_ENTITIES = "too_few_entities"
    SMALL_GROUP = "small_group"
    NOT_FOLLOWED = "not_followed"
    NOT_ROUNDED = "not_rounded"
    DOMINANCE = "dominance"
    OVERFITTED = "overfitted"
    NOT_FINITE = "not_finite"


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer, its reason code, a sentence for the caller, and what it rests on.

    ``request`` is the approved one, ``uses`` the counted rules that a value takes one use of.
    """

    answer: Answer
    reason: Reason
    detail: str
    request: str = ""
    uses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Grant:
    """One dataset behind a value: what the caller may do with it now, how many rows it has and must have.

    ``standing`` names the questions that its rules open to the caller, whatever version the data has;
    ``reviewers`` is how many people answer a request, 0 where none is taken. ``entities``: how many distinct
    ones its rows are of, None where its owner did not say; none has more than ``most_rows`` of them.
    ``verbs`` cost nothing, ``ways`` lead to others under conditions. ``entities_wanted``: how many the rule
    asks for by which the caller has the value, beside ``thresholds``.
    """

    table: str
    name: str
    verbs: frozenset[str]
    rows: int
    min_rows: int
    standing: frozenset[str] = frozenset()
    reviewers: int = 1
    entities: int | None = None
    most_rows: int = 1
    thresholds: Thresholds = DEFAULTS
    ways: tuple[Way, ...] = ()
    entities_wanted: int = 0

    @property
    def min_entities(self) -> int:
        """Fewest entities behind a value."""
        return max(self.thresholds.entities or self.min_rows, self.entities_wanted)

    @property
    def fewest_batch(self) -> int:
        """Fewest rows that certainly are of enough entities."""
        return max(self.min_rows, (self.min_entities - 1) * self.most_rows + 1)

    def entities_in(self, rows: int) -> int:
        """Fewest entities that so many rows can be of."""
        return -(-rows // self.most_rows)

    def opened(self, among: Callable[[Way], bool] = lambda _way: True) -> "Grant":
        """Count verbs that these ways lead to among the others; other ways are closed."""
        ways = tuple(way for way in self.ways if among(way))
        return replace(self, verbs=self.verbs | {way.verb for way in ways}, ways=ways)

    def settled(self, verb: str, fits: Callable[["Grant"], bool]) -> "Grant":
        """Keep the first way to a verb that fits once what it asks for is wanted, or the least strict."""
        led = [way for way in self.ways if way.verb == verb]
        if not led:
            return self
        rest = tuple(way for way in self.ways if way.verb != verb)
        verbs = self.verbs | {verb}
        taken = [replace(self._wanting(way), verbs=verbs, ways=(way, *rest)) for way in led]
        least = min(taken, key=lambda grant: (grant.min_rows, grant.min_entities))
        return next((grant for grant in taken if fits(grant)), least)

    def strictest(self, verb: str) -> "Grant":
        """Want as many rows and entities as any way to a verb does."""
        return reduce(Grant._wanting, (way for way in self.ways if way.verb == verb), self)

    def _wanting(self, way: Way) -> "Grant":
        rows, entities = max(self.min_rows, way.min_rows), max(self.entities_wanted, way.min_entities)
        return replace(self, min_rows=rows, entities_wanted=entities)

    def uses(self, verb: str) -> tuple[str, ...]:
        """The counted rule, if any, that the first way to a verb takes a use of."""
        first = next((way.counted for way in self.ways if way.verb == verb), "")
        return (first,) if first else ()


@dataclass(frozen=True, slots=True)
class Asked:
    """A question by its content, who asks it when, and the asker's requests.

    ``question`` is the digest that binds the versions of the data, ``standing`` the one that does not.
    """

    asker: str
    question: str
    standing: str
    now: datetime
    requests: tuple[Request, ...] = ()


@dataclass(frozen=True, slots=True)
class Counted:
    """How many rows of ``table`` a mask lets through (one count for each of its columns).

    ``entities``: how many have a row that it lets through, then how many have one that it leaves out; empty
    where every row is an entity of its own.
    """

    table: str
    rows: int
    counts: tuple[int, ...]
    entities: tuple[int, ...] = ()

    def crowded(self, min_rows: int, min_entities: int = 1) -> bool:
        """Say whether every group and its complement are empty or large enough."""
        sides = [side for count in self.counts for side in (count, self.rows - count)]
        return all(side == 0 or side >= min_rows for side in sides) and all(
            side == 0 or side >= min_entities for side in self.entities or sides
        )
