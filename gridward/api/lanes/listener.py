"""The accepting side of TLS lanes: authenticates who dials, and waits for sessions to begin on idle lanes."""

import logging
import selectors
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeAlias

from gridward.api.lanes.lane import BEGINNING_BYTES, session_of
from gridward.api.lanes.stream import TlsStream
from gridward.api.lanes.switchboard import Meeting, Switchboard
from gridward.api.lanes.tls import TlsLane, keep_alive
from gridward.core.errors import GridError

HELLO_BYTES: Final = 4096
HELLO_S: Final = 5.0
WELCOME: Final = b"welcome"
HANDSHAKES_AT_ONCE: Final = 4
STRANGERS: Final = 64
"""Connections that have not said who they are; more are closed at once."""
REFUSED_PAUSE_S: Final = 0.05
LANES: Final = 512
PEERS_LANES: Final = 128
"""Of one party of a deployment, in use or not: more than one dials."""
_SWEEP_S: Final = 1.0
_log: Final = logging.getLogger("gridward.lanes")

Authenticate: TypeAlias = Callable[[str, str], int]
"""From a deployment's id and a signed request: the position of the party that signed it, or a refusal."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Who dialled: a party of a deployment."""

    deployment_id: str
    position: int


@dataclass(frozen=True, slots=True)
class Offer:
    """A lane that waits for its computation until ``deadline``."""

    deadline: float
    meeting: Meeting
    peer: int
    lane: TlsLane


@dataclass(slots=True, eq=False)
class LaneListener:
    """A listening socket, its TLS context and one thread that waits for all of its idle lanes."""

    listener: socket.socket
    context: ssl.SSLContext
    authenticate: Authenticate
    switchboard: Switchboard
    unclaimed_s: float
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _peers: dict[TlsLane, Peer | None] = field(default_factory=dict)
    _watched: set[TlsLane] = field(default_factory=set)
    _offers: deque[Offer] = field(default_factory=deque)
    _errands: deque[Callable[[], None]] = field(default_factory=deque)
    _handshakes: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(HANDSHAKES_AT_ONCE, "lane")
    )
    _slots: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(STRANGERS))
    _bell: tuple[socket.socket, socket.socket] = field(default_factory=socket.socketpair)
    _thread: threading.Thread | None = None
    _ending: bool = False

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.listener.getsockname()[1])

    def start(self) -> None:
        """Begin to accept."""
        for held in (self.listener, *self._bell):
            held.setblocking(False)
        self._selector.register(self.listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self._bell[0], selectors.EVENT_READ, self._run_errands)
        self._thread = threading.Thread(target=self._watch, name="lanes", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop accepting and close every lane."""
        self._handshakes.shutdown(wait=True, cancel_futures=True)
        self._send(self._end)
        if self._thread is not None:
            self._thread.join()
        for held in (self.listener, *self._bell):
            held.close()
        self._selector.close()

    def forget(self, deployment_id: str) -> None:
        """Close the idle lanes of a deployment that ended; a session in flight ends with its own peers."""
        self._send(lambda: self._forget(deployment_id))

    def keep(self, lane: TlsLane) -> None:
        """Wait for the next session on a lane."""
        self._send(lambda: self._begin(lane))

    def lose(self, lane: TlsLane) -> None:
        """Forget a lane that was closed."""
        self._send(lambda: self._forget_lane(lane))

    def _send(self, errand: Callable[[], None]) -> None:
        """Have the watching thread do something: it alone touches the selector and the tables."""
        self._errands.append(errand)
        with suppress(OSError):
            self._bell[1].send(b"!")

    def _run_errands(self) -> None:
        with suppress(OSError):
            self._bell[0].recv(4096)
        while self._errands:
            self._attend(self._errands.popleft())

    def _watch(self) -> None:
        while not self._ending:
            for key, _ in self._selector.select(_SWEEP_S if self._offers else None):
                self._attend(key.data)
            while self._offers and self._offers[0].deadline < time.monotonic():
                offer = self._offers.popleft()
                if self.switchboard.withdraw(offer.meeting, offer.peer, offer.lane):
                    offer.lane.close()

    def _attend(self, errand: Callable[[], None]) -> None:
        """Do one thing; whatever goes wrong with one lane is no reason to leave the others."""
        try:
            errand()
        except (OSError, GridError, LookupError, ValueError):
            _log.exception("a direct connection failed")

    def _accept(self) -> None:
        try:
            raw, _ = self.listener.accept()
        except BlockingIOError:
            return
        except OSError as why:
            _log.warning("cannot accept a direct connection: %s", why)
            time.sleep(REFUSED_PAUSE_S)  # out of descriptors, say: the listener stays readable
            return
        if len(self._peers) >= LANES or not self._slots.acquire(blocking=False):
            raw.close()
            return
        try:
            self._handshakes.submit(self._welcome, raw).add_done_callback(partial(self._greeted, raw))
        except RuntimeError:  # it is ending
            self._slots.release()
            raw.close()

    def _greeted(self, raw: socket.socket, greeting: "Future[None]") -> None:
        self._slots.release()
        if greeting.cancelled():
            raw.close()

    def _welcome(self, raw: socket.socket) -> None:
        try:
            keep_alive(raw)
            lane = TlsLane(TlsStream(raw, self.context, HELLO_S, server=True), self)
        except OSError as why:
            _log.info("a direct connection ended before it began: %s", why)
            raw.close()
            return
        try:
            said = bytes(lane.receive(time.monotonic() + HELLO_S, HELLO_BYTES)).decode("ascii", "replace")
            deployment_id, _, token = said.partition(" ")
            peer = Peer(deployment_id, self.authenticate(deployment_id, token))
            lane.send(WELCOME)
        except (OSError, GridError) as why:
            _log.info("a direct connection was refused: %s", why)
            lane.close()
            return
        self._send(lambda: self._take_in(lane, peer))

    def _take_in(self, lane: TlsLane, peer: Peer) -> None:
        if sum(other == peer for other in self._peers.values()) >= PEERS_LANES:
            lane.close()
            return
        self._peers[lane] = peer
        self._begin(lane)

    def _begin(self, lane: TlsLane) -> None:
        """Read a session's beginning, if it is here, and hand the lane over; else wait for it."""
        peer = self._peers.get(lane)
        if peer is None:
            lane.close()
            return
        try:
            message = lane.poll_message(BEGINNING_BYTES)
            if message is None:
                self._watch_for(lane)
                return
            session = session_of(message)
            if session is None:
                raise OSError("spoke out of turn")
            self._unwatch(lane)
            meeting = peer.deployment_id, session
            self._offers.append(Offer(time.monotonic() + self.unclaimed_s, meeting, peer.position, lane))
            self.switchboard.offer(meeting, peer.position, lane)
        except (OSError, GridError) as why:
            _log.info("party %d left its direct connection: %s", peer.position, why)
            lane.close()

    def _watch_for(self, lane: TlsLane) -> None:
        if lane not in self._watched:
            self._watched.add(lane)
            self._selector.register(lane.descriptor, selectors.EVENT_READ, lambda: self._begin(lane))

    def _unwatch(self, lane: TlsLane) -> None:
        if lane in self._watched:
            self._watched.remove(lane)
            self._selector.unregister(lane.descriptor)

    def _forget(self, deployment_id: str) -> None:
        for lane, peer in list(self._peers.items()):
            if peer is None or peer.deployment_id != deployment_id:
                continue
            if lane in self._watched:
                lane.close()
            else:
                self._peers[lane] = None  # in use: closed when it is given back

    def _forget_lane(self, lane: TlsLane) -> None:
        self._unwatch(lane)
        self._peers.pop(lane, None)

    def _end(self) -> None:
        self._ending = True
        for lane in list(self._peers):
            lane.close()


def hello(deployment_id: str, token: str) -> bytes:
    """Write what the dialling side says first, as one frame."""
    return f"{deployment_id} {token}".encode("ascii")
