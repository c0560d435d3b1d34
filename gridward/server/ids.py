"""Random names of rows, and the clock."""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeAlias

Clock: TypeAlias = Callable[[], datetime]


def new_id(prefix: str) -> str:
    """Return `prefix` and 96 random bits: unguessable, so it tells nothing of other rows."""
    return f"{prefix}-{secrets.token_hex(12)}"


def utc_now() -> datetime:
    """The wall clock, in UTC."""
    return datetime.now(UTC)
