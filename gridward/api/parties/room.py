"""What a node keeps in memory of deployments: programs, loaded models, dealers, queries between two steps."""

import hmac
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from gridward.api.lanes.idle import IdleLanes
from gridward.api.lanes.listener import LaneListener
from gridward.api.lanes.switchboard import Switchboard
from gridward.api.parties.grants import Grant
from gridward.api.parties.places import Places
from gridward.api.parties.roles import Record
from gridward.core.errors import AuthorizationError, BusyError, ConflictError, ObjectNotFoundError
from gridward.core.smpc.bundles import BundlePool
from gridward.core.smpc.dealer import Dealer
from gridward.core.smpc.deployment import DeployedModel
from gridward.core.smpc.kernels import cpu
from gridward.core.smpc.kernels.seam import Kernels
from gridward.core.smpc.program import Program
from gridward.core.smpc.session import Session

KEPT_PROGRAMS: Final = 64
KEPT_MODELS: Final = 16
OPEN_QUERIES: Final = 64
CALLERS_QUERIES: Final = 16
QUERY_S: Final = 600.0
PLACE_S: Final = 20.0

Value = TypeVar("Value")
Key = TypeVar("Key")


class Cache(Generic[Key, Value]):
    """The ``size`` values used last, each made once."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[Key, Value] = OrderedDict()
        self._making: dict[Key, threading.Lock] = {}
        self._drops = 0
        self._lock = threading.Lock()

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """Return a value, making it if it is not here; who wants the same one waits, others do not."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
            making = self._making.setdefault(key, threading.Lock())
        with making:
            with self._lock:
                if key in self._values:
                    return self._values[key]
                drops = self._drops
            value = make()
            with self._lock:
                if drops == self._drops:  # else it may be of what was dropped meanwhile
                    self._values[key] = value
                while len(self._values) > self._size:
                    self._values.popitem(last=False)
                self._making.pop(key, None)
            return value

    def drop(self, keeps: Callable[[Key], bool]) -> None:
        """Forget every value whose key ``keeps`` denies."""
        with self._lock:
            self._drops += 1
            for key in [key for key in self._values if not keeps(key)]:
                del self._values[key]


class Remembered(Generic[Value]):
    """Values read from rows, until their rows change.

    A value that was read before a change and comes after it is not kept: ``get`` tells what was seen last.
    """

    def __init__(self) -> None:
        self._values: dict[str, Value] = {}
        self._changes = 0
        self._lock = threading.Lock()

    def get(self, key: str) -> tuple[Value | None, int]:
        """Return a value if it is here, and the number of changes so far."""
        with self._lock:
            return self._values.get(key), self._changes

    def put(self, key: str, value: Value, seen: int) -> None:
        """Keep a value, unless something has changed since ``seen``."""
        with self._lock:
            if seen == self._changes:
                self._values[key] = value

    def drop(self, key: str) -> None:
        """Forget a value whose row was changed."""
        with self._lock:
            self._changes += 1
            self._values.pop(key, None)


@dataclass(slots=True, eq=False)
class OpenQuery:
    """A query whose bundle is spent and whose input has not come yet.

    ``proof`` is the SHA-256 of the grant that opened it: who shows it again has the same grant.
    """

    grant: Grant
    proof: bytes
    program: Program
    session: Session
    subkey: bytes
    opened_s: float


@dataclass(slots=True)
class Room:
    """A node's memory in all roles. A restart empties it: queries in flight end, their bundles stay spent."""

    kernels: Kernels = cpu
    switchboard: Switchboard = field(default_factory=Switchboard)
    lanes: IdleLanes = field(default_factory=IdleLanes)
    listener: LaneListener | None = None
    places: Places = field(default_factory=Places)
    records: Remembered[Record] = field(default_factory=Remembered)
    programs: Cache[tuple[str, int], Program] = field(default_factory=lambda: Cache(KEPT_PROGRAMS))
    models: Cache[str, DeployedModel] = field(default_factory=lambda: Cache(KEPT_MODELS))
    dealers: Cache[tuple[str, int], Dealer] = field(default_factory=lambda: Cache(KEPT_MODELS))
    pools: Cache[str, BundlePool] = field(default_factory=lambda: Cache(KEPT_MODELS))
    dealing: threading.Lock = field(default_factory=threading.Lock)
    storing: threading.Lock = field(default_factory=threading.Lock)
    _running: threading.Condition = field(default_factory=threading.Condition)
    _runs: int = 0
    _queries: dict[str, OpenQuery] = field(default_factory=dict)
    _receiving: set[str] = field(default_factory=set)
    _fetching: dict[str, threading.Lock] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def fetching(self, deployment_id: str) -> threading.Lock:
        """Give the lock of a deployment's bundles: a slow provider holds up nobody else's."""
        with self._lock:
            return self._fetching.setdefault(deployment_id, threading.Lock())

    def known(self, query_id: str, proof: bytes) -> OpenQuery | None:
        """Return an open query, for a client that repeats its first step; see ``_opened_under``."""
        with self._lock:
            return self._opened_under(query_id, proof)

    def admit(self, caller: str, now_s: float, waiting_bytes: int, limit_bytes: int) -> None:
        """Refuse one more query where too many wait, of everyone or of this caller, or would hold too much.

        Those that waited too long are forgotten first.
        """
        with self._lock:
            self._drop(lambda query: now_s - query.opened_s >= QUERY_S)
            if len(self._queries) >= OPEN_QUERIES:
                raise BusyError(f"{OPEN_QUERIES} queries wait for their input; retry later", retry_after_s=5)
            if sum(query.grant.caller == caller for query in self._queries.values()) >= CALLERS_QUERIES:
                raise BusyError(
                    f"{CALLERS_QUERIES} queries of '{caller}' wait for their input; open fewer ahead",
                    retry_after_s=5,
                )
            held = sum(query.session.held_bytes for query in self._queries.values())
            if held + waiting_bytes > limit_bytes:
                raise BusyError(
                    f"queries that wait for their input hold {held:,} bytes, and this one would "
                    f"{waiting_bytes:,}: {limit_bytes:,} may be held; retry later",
                    retry_after_s=5,
                )

    def open(self, query: OpenQuery) -> None:
        """Keep a query until its input comes."""
        query_id = query.grant.query_id
        with self._lock:
            if query_id in self._queries:
                raise ConflictError(f"query {query_id} is open already")
            self._queries[query_id] = query

    def take(self, query_id: str, proof: bytes, fits: Callable[[OpenQuery], None]) -> OpenQuery:
        """Hand over a query for its only run, if its input ``fits``; see ``_opened_under``."""
        with self._lock:
            query = self._required(query_id, proof)
            fits(query)
            del self._queries[query_id]
        return query

    @contextmanager
    def receiving(self, query_id: str, proof: bytes, fits: Callable[[OpenQuery], None]) -> Iterator[None]:
        """Take the one place for the input of an open query, which ``fits``; see ``_opened_under``."""
        with self._lock:
            fits(self._required(query_id, proof))
            if query_id in self._receiving:
                raise ConflictError(f"the input of query {query_id} is arriving on another channel")
            self._receiving.add(query_id)
        try:
            yield
        finally:
            with self._lock:
                self._receiving.discard(query_id)

    def require(self, query_id: str, proof: bytes) -> OpenQuery:
        """Give a query that is open under the proven grant and stays so, or raise a refusal."""
        with self._lock:
            return self._required(query_id, proof)

    def _required(self, query_id: str, proof: bytes) -> OpenQuery:
        query = self._opened_under(query_id, proof)
        if query is None:
            raise ObjectNotFoundError(
                f"query {query_id} is not open here: it has run, waited too long, or the node was "
                "restarted; ask anew"
            )
        return query

    def _opened_under(self, query_id: str, proof: bytes) -> OpenQuery | None:
        """Find a query by the grant that opened it, down to the key that its secrets are sealed to.

        A host could sign a second grant for the same query with a key of its own: with the subkeys of all
        parties, and the masked input from any one, it would read the query.
        """
        query = self._queries.get(query_id)
        if query is not None and not hmac.compare_digest(query.proof, proof):
            raise AuthorizationError(f"query {query_id} was opened under another grant")
        return query

    @contextmanager
    def running(self, limit: int) -> Iterator[None]:
        """Wait for one of ``limit`` places to compute in."""
        with self._running:
            if not self._running.wait_for(lambda: self._runs < limit, timeout=PLACE_S):
                raise BusyError(f"{limit} queries run here already; retry later", retry_after_s=5)
            self._runs += 1
        try:
            yield
        finally:
            with self._running:
                self._runs -= 1
                self._running.notify()

    def close(self) -> None:
        """Leave all peers."""
        if self.listener is not None:
            self.listener.stop()
        self.lanes.close()

    def forget(self, deployment_id: str) -> None:
        """Drop everything of a deployment."""
        self.programs.drop(lambda key: key[0] != deployment_id)
        self.models.drop(lambda key: key != deployment_id)
        self.pools.drop(lambda key: key != deployment_id)
        self.dealers.drop(lambda key: key[0] != deployment_id)
        self.lanes.forget(deployment_id)
        if self.listener is not None:
            self.listener.forget(deployment_id)
        with self._lock:
            self._drop(lambda query: query.grant.deployment_id == deployment_id)

    def _drop(self, is_over: Callable[[OpenQuery], bool]) -> None:
        """Forget queries, and what is left of their bundles."""
        for query_id in [name for name, query in self._queries.items() if is_over(query)]:
            self._queries.pop(query_id).session.close()
