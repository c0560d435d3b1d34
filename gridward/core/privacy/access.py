"""Rules of access: who may do what with a dataset or model, and under which conditions. Pure; time is given.

Default deny: what no rule gives is not given, and a rule with a condition that is not met gives nothing.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

DISCOVER: Final = "discover"
DESCRIBE: Final = "describe"
_FAR: Final = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of one list: ``entry`` (a name, role, group, or all who signed in) has ``verb``.

    ``until``: before that moment only. ``times``: so often in all, whoever uses it; ``used`` counts.
    ``plan``: for what this digest names only, a question or a training plan. ``min_rows``: over so many rows
    or more; ``min_entities``: with so many distinct entities behind a value or more.
    """

    id: str
    verb: str
    entry: str
    until: datetime | None = None
    times: int | None = None
    used: int = 0
    plan: str | None = None
    min_rows: int = 0
    min_entities: int = 0


@dataclass(frozen=True, slots=True)
class Way:
    """How a caller has a verb now that no rule gives without conditions.

    ``min_rows`` and ``min_entities`` are what the rule asks for, ``counted`` the id of a rule that this use
    is counted by, or "".
    """

    verb: str
    min_rows: int = 0
    counted: str = ""
    min_entities: int = 0


@dataclass(frozen=True, slots=True)
class Rights:
    """Verbs that cost nothing, and ways to others: those that cost nothing first, then the least strict.

    ``discover`` is among the verbs once any rule speaks of the caller, as long as that rule lasts, and
    ``describe`` once one does that is for more than to discover.
    """

    verbs: frozenset[str] = frozenset()
    ways: tuple[Way, ...] = ()

    @property
    def all_verbs(self) -> frozenset[str]:
        """Every verb that the caller has in some way."""
        return self.verbs | {way.verb for way in self.ways}

    def uses(self, verb: str) -> tuple[str, ...] | None:
        """The counted rule, if any, that the verb takes a use of now; None where the caller lacks it."""
        if verb in self.verbs:
            return ()
        first = next((way for way in self.ways if way.verb == verb), None)
        return None if first is None else (first.counted,) * bool(first.counted)


def concerns(rule: Rule, entries: Collection[str], now: datetime) -> bool:
    """Say whether a rule speaks of somebody with these entries, and lasts."""
    return rule.entry in entries and (rule.until is None or now < rule.until)


def applies(rule: Rule, entries: Collection[str], now: datetime, named: Collection[str]) -> bool:
    """Say whether a rule gives its verb now for what ``named`` names: digests of the plan and the question.

    How many rows and entities are behind a value is not known here: see ``Way``.
    """
    return (
        concerns(rule, entries, now)
        and (rule.times is None or rule.used < rule.times)
        and (rule.plan is None or rule.plan in named)
    )


def rights(
    rules: Iterable[Rule], entries: Collection[str], now: datetime, named: Collection[str] = ()
) -> Rights:
    """Sum up what rules give to somebody with these entries. Linear in the number of rules."""
    own = [rule for rule in rules if concerns(rule, entries, now)]
    giving = [rule for rule in own if applies(rule, entries, now, named)]
    free = {
        rule.verb for rule in giving if rule.times is None and not rule.min_rows and not rule.min_entities
    }
    if own:
        free.add(DISCOVER)
    if any(rule.verb != DISCOVER for rule in own):
        free.add(DESCRIBE)
    rest = sorted((rule for rule in giving if rule.verb not in free), key=_order)
    return Rights(frozenset(free), tuple(dict.fromkeys(map(_way, rest))))


def _order(rule: Rule) -> tuple[bool, int, int, datetime, str]:
    return rule.times is not None, rule.min_rows, rule.min_entities, rule.until or _FAR, rule.id


def _way(rule: Rule) -> Way:
    return Way(rule.verb, rule.min_rows, "" if rule.times is None else rule.id, rule.min_entities)
