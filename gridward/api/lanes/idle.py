"""Dialled lanes between two sessions, and what is known of a peer's direct port."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from gridward.api.lanes.lane import DialledLane

IDLE_LANES: Final = 8
PORT_S: Final = 60.0
ENDED: Final = 1024
"""So many deployments that ended last are known: lanes in use are given back long before as many more end."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A party of a deployment, by its position."""

    deployment_id: str
    position: int


@dataclass(slots=True)
class IdleLanes:
    """The lanes of a node's own dialling that wait for a session, by peer."""

    _lanes: dict[Peer, list[DialledLane]] = field(default_factory=lambda: defaultdict(list))
    _ports: dict[Peer, tuple[int | None, float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _ended: dict[str, None] = field(default_factory=dict)
    _over: bool = False

    def take(self, peer: Peer) -> DialledLane | None:
        """Give a lane that still stands, if there is one."""
        while True:
            with self._lock:
                if not self._lanes[peer]:
                    return None
                lane = self._lanes[peer].pop()
            if lane.alive:
                return lane
            lane.close()

    def put(self, peer: Peer, lane: DialledLane) -> None:
        """Keep a lane for the next session; a few wait for each peer, more are closed."""
        with self._lock:
            ended = self._over or peer.deployment_id in self._ended
            kept = not ended and len(self._lanes[peer]) < IDLE_LANES
            if kept:
                self._lanes[peer].append(lane)
        if not kept:
            lane.close()

    def port(self, peer: Peer) -> tuple[int | None, bool]:
        """Give the peer's direct port as far as it is known, and whether it is known."""
        with self._lock:
            port, until = self._ports.get(peer, (None, 0.0))
        return port, until > time.monotonic()

    def note_port(self, peer: Peer, port: int | None) -> None:
        """Remember a peer's direct port, or that it has none, for a while."""
        with self._lock:
            self._ports[peer] = port, time.monotonic() + PORT_S

    def forget(self, deployment_id: str) -> None:
        """Close the lanes of a deployment that ended, those in use when they are given back."""
        with self._lock:
            self._ended[deployment_id] = None
            while len(self._ended) > ENDED:
                del self._ended[next(iter(self._ended))]
        self._close(lambda peer: peer.deployment_id == deployment_id)

    def close(self) -> None:
        """Close every lane; those still in use are closed when they are given back."""
        self._over = True
        self._close(lambda peer: True)

    def _close(self, ends: Callable[[Peer], bool]) -> None:
        with self._lock:
            peers = [peer for peer in self._lanes if ends(peer)]
            lanes = [lane for peer in peers for lane in self._lanes.pop(peer)]
            for peer in peers:
                self._ports.pop(peer, None)
        for lane in lanes:
            lane.close()


@dataclass(frozen=True, slots=True)
class Keeper:
    """Takes the lanes to one peer back."""

    lanes: IdleLanes
    peer: Peer

    def keep(self, lane: DialledLane) -> None:
        """Keep a lane for the next session."""
        self.lanes.put(self.peer, lane)

    def lose(self, lane: DialledLane) -> None:
        """A lane that was closed is not among the idle ones."""
