"""Where lanes on which a peer began a session wait for the joint computation that they belong to."""

import threading
import time
from dataclasses import dataclass, field
from typing import TypeAlias

from gridward.api.lanes.lane import Lane
from gridward.core.errors import ConflictError, ProtocolError

Meeting: TypeAlias = tuple[str, str]
"""Deployment and session: a party of one deployment cannot pose as a party of another."""


@dataclass(slots=True)
class Switchboard:
    """Accepted lanes by meeting and peer: offered by those who accept, claimed by a compute thread.

    A lane is claimed once. Who offers one also bounds how long it may wait, see ``withdraw``.
    """

    _waiting: dict[tuple[Meeting, int], Lane] = field(default_factory=dict)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def offer(self, meeting: Meeting, peer: int, lane: Lane) -> None:
        """Make a lane available; one peer joins a session once."""
        with self._changed:
            if (meeting, peer) in self._waiting:
                raise ConflictError(f"party {peer} has joined session {meeting[1]} already")
            self._waiting[meeting, peer] = lane
            self._changed.notify_all()

    def claim(self, meeting: Meeting, peer: int, timeout_s: float) -> Lane:
        """Take the lane of a peer, waiting until it has begun the session."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while (meeting, peer) not in self._waiting:
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    raise ProtocolError(
                        f"party {peer} did not join session {meeting[1]} within {timeout_s:.0f} s"
                    )
            return self._waiting.pop((meeting, peer))

    def withdraw(self, meeting: Meeting, peer: int, lane: Lane) -> bool:
        """Forget a lane that nobody claimed; say whether it was still here."""
        with self._changed:
            if self._waiting.get((meeting, peer)) is not lane:
                return False
            del self._waiting[meeting, peer]
            return True
