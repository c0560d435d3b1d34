"""One thread for each gateway: joins, then beats; pauses longer after every failure, recovers by itself."""

import logging
import random
import threading
from contextlib import suppress
from typing import Annotated, Final, TypeAlias

from fastapi import Depends, Request
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from gridward.api import membership
from gridward.api.node import Node
from gridward.api.parties.calls import Calls
from gridward.core.errors import GridError

_log: Final = logging.getLogger("gridward.membership")
_LONGEST_PAUSE_S: Final = 60.0
_SHORTEST_PAUSE_S: Final = 0.1


class Hearts:
    """The threads that keep this node a member of its gateways."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._stopping = threading.Event()
        self._threads: dict[str, threading.Thread] = {}
        self._lock = threading.Lock()

    @property
    def calls(self) -> Calls:
        """The signed HTTP client that the threads use."""
        return self._node.calls

    def start(self, gateway_url: str) -> None:
        """Begin to join and beat for the gateway at this URL, unless that is under way."""
        with self._lock:
            if gateway_url in self._threads or self._stopping.is_set():
                return
            thread = threading.Thread(
                target=self._live, args=(gateway_url,), name=f"heart {gateway_url}", daemon=True
            )
            self._threads[gateway_url] = thread
            thread.start()

    def stop(self) -> None:
        """End all threads; waits for calls under way."""
        self._stopping.set()
        self._node.catalogue_changed.ring()
        for thread in self._threads.values():
            thread.join()

    def _live(self, gateway_url: str) -> None:
        gateway_id: str | None = None
        failures = heard = 0
        while not self._stopping.is_set():
            try:
                if gateway_id is None:
                    gateway_id = membership.join(self._node, self.calls, gateway_url).gateway_id
                pause_s = max(_SHORTEST_PAUSE_S, membership.beat(self._node, self.calls, gateway_id))
                failures = 0
            except (GridError, ValidationError, SQLAlchemyError) as why:
                pause_s = self._pause_s(failures)
                failures += 1
                _log.warning("heartbeat to %s failed: %s", gateway_url, why)
                with suppress(SQLAlchemyError):
                    membership.note_failure(self._node, gateway_id or "", str(why))
            heard = self._wait(pause_s, failures, heard)

    def _pause_s(self, failures: int) -> float:
        longest = min(_LONGEST_PAUSE_S, self._node.settings.heartbeat_retry_s * 2.0 ** min(failures, 10))
        # Jitter, so that the nodes of a gateway that was away do not all come back at once.
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 (no secret)

    def _wait(self, pause_s: float, failures: int, heard: int) -> int:
        if failures:
            self._stopping.wait(pause_s)
            return heard
        return self._node.catalogue_changed.wait(heard, pause_s)


def hearts_of(request: Request) -> Hearts:
    """Return the hearts of the node that handles this request."""
    hearts = request.app.state.hearts
    if not isinstance(hearts, Hearts):
        raise TypeError("the app was built without hearts")
    return hearts


HeartsOf: TypeAlias = Annotated[Hearts, Depends(hearts_of)]
