"""Why a run waits, in words: how many answered, and when the others were last heard of."""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Final, TypeAlias

Presence: TypeAlias = Callable[[], Mapping[str, datetime | None]]
"""When the gateway last heard of each node, by name; None: never, or it is not known."""
_UNITS: Final[tuple[tuple[int, str], ...]] = ((86400, "d"), (3600, "h"), (60, "min"))


def unknown() -> Mapping[str, datetime | None]:
    """Know nothing of any node."""
    return {}


def waiting(answered: int, asked: int, missing: Iterable[str], seen: Mapping[str, datetime | None]) -> str:
    """Say what a round waits for, such as "2 of 3 nodes; x last seen 4 min ago"."""
    now = datetime.now(UTC)
    words = [f"{answered} of {asked} nodes", *(_of(name, seen.get(name), now) for name in sorted(missing))]
    return "; ".join(words)


def ago(seconds: float) -> str:
    """Say how long ago something was, in its largest unit."""
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return f"{max(0, int(seconds))} s ago"


def _of(name: str, seen: datetime | None, now: datetime) -> str:
    if seen is None:
        return f"waiting for {name}"
    return f"{name} last seen {ago((now - seen).total_seconds())}"
