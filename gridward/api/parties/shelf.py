"""The provider's shelf of a deployment: packets of dealt bundles, wiped once their parties have them.

A bundle is dealt once. Its packets appear together (a folder is renamed into place), so a crash leaves the
whole bundle or nothing. It lies in ``ahead/`` until a party asks for it, and then in ``asked/``: from there
each party may fetch its packet again, byte for byte the same, until it confirms. The ledger says which party
had which bundle, in lanes of batch size and party; a bundle that anybody had is never dealt again.
"""

import os
import secrets
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gridward.api.parties.budget import Budget
from gridward.core.errors import BusyError, ConflictError
from gridward.core.smpc.disk import DIRECTORY_MODE, sync_folder, wipe, write_durably
from gridward.core.smpc.ledger import Ledger, Total, open_ledger
from gridward.core.smpc.packets import HEADER_BYTES, Packet, parse_header

STALE_S: Final = 1800.0
"""Longer than a grant and a query live together: a packet of a bundle so old has hardly a use."""
WAIT_S: Final = 15.0
AHEAD_SHARE: Final = 0.5
"""Of the bytes that a provider keeps, what may be made ahead; the rest is for parties that wait."""
_LANES: Final = 3
_GIVEN_UP: Final = (1 << _LANES) - 1

Bundle = tuple[int, int]
"""Batch size and number."""
Deal = Callable[[], Sequence[bytes]]


@dataclass(slots=True)
class _Waiting:
    """A bundle on the shelf: the bytes of each party's packet that is still here."""

    asked: bool
    packets: dict[int, int]


@dataclass(frozen=True, slots=True)
class Shelved:
    """What waits of one batch size: bundles made ahead, bundles asked for by some party, bytes of both."""

    ahead: int
    asked: int
    waiting_bytes: int


@dataclass(slots=True, eq=False)
class Shelf:
    """Dealt bundles of one deployment. At most ``limit`` wait to be fetched, within the node's ``budget``."""

    folder: Path
    parties: int
    limit: int
    budget: Budget
    _ledger: Ledger = field(init=False)
    _bundles: dict[Bundle, _Waiting] = field(default_factory=dict)
    _nexts: dict[int, int] = field(default_factory=dict)
    _dealing: set[Bundle] = field(default_factory=set)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _closed: bool = False

    def __post_init__(self) -> None:
        for part in ("ahead", "asked", "spent"):
            (self.folder / part).mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        self._ledger = open_ledger(self.folder / "ledger")
        self._recover()

    def bring(self, batch: int, number: int, bundle_bytes: int, deal: Deal) -> None:
        """Have a bundle where its parties can fetch it; deals it if it was not dealt, or waits for who does.

        Raises ``ConflictError`` for one that somebody had, or gave up waiting for; ``BusyError`` where too
        much waits to be fetched, or where another thread takes too long.
        """
        bundle = batch, number
        with self._changed:
            while bundle in self._dealing:
                if not self._changed.wait(WAIT_S):
                    raise BusyError(f"bundle {number} of batch {batch} is being dealt", retry_after_s=1)
            self._require_open()
            self._nexts[batch] = max(self._nexts.get(batch, 0), number + 1)
            if bundle in self._bundles:
                self._ask(bundle)
                return
            self._require_fresh(bundle)
            self._make_room(bundle_bytes)
            self._dealing.add(bundle)
        self._deal(bundle, bundle_bytes, deal, asked=True)

    def deal_ahead(self, batch: int, number: int, bundle_bytes: int, deal: Deal) -> bool:
        """Deal a bundle that nobody asked for yet; false where there is no room, or it is here already."""
        bundle = batch, number
        with self._changed:
            if self._closed or bundle in self._bundles or bundle in self._dealing or self._was_had(bundle):
                return False
            if len(self._bundles) >= self.limit or not self.budget.reserve(bundle_bytes, AHEAD_SHARE):
                return False
            self._dealing.add(bundle)
        self._deal(bundle, bundle_bytes, deal, asked=False)
        return True

    def expect(self, batch: int) -> None:
        """Say that bundles of a batch size will be asked for."""
        with self._changed:
            self._nexts.setdefault(batch, 0)

    def lacking(self, count: int) -> Bundle | None:
        """Name the next bundle to make so that ``count`` lie ahead of each batch size; the emptiest first."""
        with self._changed:
            here = self._bundles.keys() | self._dealing
            lacking = [
                [(batch, number) for number in range(start, start + count) if (batch, number) not in here]
                for batch, start in self._nexts.items()
            ]
            worst = max(lacking, key=len, default=[])
            return worst[0] if worst else None

    def is_ready(self, batch: int, number: int) -> bool:
        """Say whether a bundle can be fetched at once."""
        with self._changed:
            return (batch, number) in self._bundles

    def header(self, batch: int, number: int, party: int) -> tuple[Packet, int]:
        """Read the head of a party's packet, and give the packet's bytes; raises as ``read``."""
        packet_bytes = self._size(batch, number, party)
        return parse_header(self.read(batch, number, party, 0, HEADER_BYTES), packet_bytes), packet_bytes

    def read(self, batch: int, number: int, party: int, begins: int, count_bytes: int) -> bytes:
        """Read a part of a party's packet. Raises ``ConflictError`` for one that it had."""
        path = self._path(True, (batch, number)) / str(party)
        try:
            with path.open("rb", buffering=0) as file:
                piece = os.pread(file.fileno(), count_bytes, begins)
        except FileNotFoundError:
            raise self._had(party, number, batch) from None
        if self._closed or not path.exists():  # packets move away before they are wiped: these may be zeros
            raise self._had(party, number, batch)
        return piece

    def confirm(self, batch: int, numbers: Sequence[int], party: int) -> int:
        """Note, durably and once, that a party has its packets stored; gives how many were new.

        They move away, for ``sweep`` to wipe.
        """
        with self._changed:
            self._require_open()
            had = {
                number: waiting.packets[party]
                for number in numbers
                if (waiting := self._bundles.get((batch, number))) and party in waiting.packets
            }
            new = self._ledger.add_all(
                [(_lane(batch, party), number, packet_bytes) for number, packet_bytes in had.items()]
            )
            for number in had:
                self._move_away((batch, number), party)
            return len(new)

    def sweep(self) -> None:
        """Wipe the packets that moved away; to be called soon after each ``confirm``, beside the request."""
        with suppress(FileNotFoundError):  # the deployment ended meanwhile, and was wiped whole
            for path in (self.folder / "spent").iterdir():
                wipe(path)

    def had(self) -> dict[int, Total]:
        """Give how many bundles each party had since the deployment began, and their bytes. Exact."""
        found: dict[int, Total] = {party: Total() for party in range(self.parties)}
        for lane, total in self._ledger.totals().items():
            if (party := lane & _GIVEN_UP) in found:
                known = found[party]
                found[party] = Total(known.count + total.count, known.amount + total.amount)
        return found

    def waiting(self) -> dict[int, Shelved]:
        """Say what is on the shelf, by batch size."""
        with self._changed:
            ahead, asked, size = Counter[int](), Counter[int](), Counter[int]()
            for (batch, _), waiting in self._bundles.items():
                (asked if waiting.asked else ahead)[batch] += 1
                size[batch] += sum(waiting.packets.values())
            return {batch: Shelved(ahead[batch], asked[batch], size[batch]) for batch in size}

    def close(self) -> None:
        """Deal and give no more; waits for what is being dealt. The folder is the caller's to wipe."""
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: not self._dealing)
            self.budget.release(sum(sum(waiting.packets.values()) for waiting in self._bundles.values()))
            self._bundles.clear()

    def _deal(self, bundle: Bundle, reserved_bytes: int, deal: Deal, *, asked: bool) -> None:
        kept = 0
        try:
            packets = deal()
            if not self._closed:
                self._put(bundle, packets, asked)
                kept = sum(map(len, packets))
        finally:
            with self._changed:
                self.budget.release(reserved_bytes - kept)
                self._dealing.discard(bundle)
                self._changed.notify_all()

    def _put(self, bundle: Bundle, packets: Sequence[bytes], asked: bool) -> None:
        place = self._path(asked, bundle)
        fresh = self.folder / f".{secrets.token_hex(8)}"
        fresh.mkdir(mode=DIRECTORY_MODE)
        try:
            for party, packet in enumerate(packets):
                write_durably(fresh / str(party), packet)
            sync_folder(fresh)
            fresh.rename(place)
            sync_folder(place.parent)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise
        with self._changed:
            self._bundles[bundle] = _Waiting(asked, dict(enumerate(map(len, packets))))

    def _ask(self, bundle: Bundle) -> None:
        waiting = self._bundles[bundle]
        if not waiting.asked:
            os.utime(self._path(False, bundle))
            self._path(False, bundle).rename(self._path(True, bundle))
            waiting.asked = True

    def _make_room(self, bundle_bytes: int) -> None:
        """Give up bundles that a party never came for, then such as nobody asked for; or refuse."""
        if self.budget.limit_bytes < bundle_bytes:
            raise BusyError(
                f"a bundle takes {bundle_bytes} bytes; this provider keeps {self.budget.limit_bytes} in all"
            )
        if self._reserve(bundle_bytes):
            return
        for give_up in (self._give_up_stale, self._drop_ahead):
            give_up()
            if self._reserve(bundle_bytes):
                return
        raise BusyError(
            f"{len(self._bundles)} bundles here, and {self.budget.used_bytes} bytes of all models, wait to "
            f"be fetched by their parties: at most {self.limit} and {self.budget.limit_bytes} may",
            retry_after_s=5,
        )

    def _reserve(self, bundle_bytes: int) -> bool:
        return len(self._bundles) < self.limit and self.budget.reserve(bundle_bytes)

    def _give_up_stale(self) -> None:
        stale = time.time() - STALE_S
        for bundle, waiting in list(self._bundles.items()):
            if waiting.asked and self._path(True, bundle).stat().st_mtime < stale:
                self._ledger.add(_lane(bundle[0], _GIVEN_UP), bundle[1])
                self._clear(bundle)
        self.sweep()

    def _drop_ahead(self) -> None:
        """Nobody saw these: their numbers may be dealt anew."""
        for bundle, waiting in list(self._bundles.items()):
            if not waiting.asked:
                self._clear(bundle)
        self.sweep()

    def _clear(self, bundle: Bundle) -> None:
        for party in list(self._bundles[bundle].packets):
            self._move_away(bundle, party)

    def _move_away(self, bundle: Bundle, party: int) -> None:
        waiting = self._bundles[bundle]
        place = self._path(waiting.asked, bundle)
        batch, number = bundle
        (place / str(party)).rename(self.folder / "spent" / f"{batch}-{number}-{party}")
        self.budget.release(waiting.packets.pop(party))
        if not waiting.packets:
            del self._bundles[bundle]
            place.rmdir()

    def _recover(self) -> None:
        """Read what is here, and clear what a crash left."""
        for draft in self.folder.glob(".*/*"):
            wipe(draft)
        for draft in self.folder.glob(".*/"):
            draft.rmdir()
        for lane, start in self._ledger.nexts().items():
            if lane & _GIVEN_UP != _GIVEN_UP:
                self._nexts[lane >> _LANES] = max(self._nexts.get(lane >> _LANES, 0), start)
        for asked in (True, False):
            for place, bundle in self._places(asked):
                self._recover_bundle(place, bundle, asked)
        for batch, number in sorted(self._bundles):
            self._nexts.setdefault(batch, number)
        self.sweep()

    def _recover_bundle(self, place: Path, bundle: Bundle, asked: bool) -> None:
        batch, number = bundle
        if self._ledger.has(_lane(batch, _GIVEN_UP), number):
            packets = {}
        else:
            packets = {
                int(path.name): path.stat().st_size
                for path in place.iterdir()
                if not self._ledger.has(_lane(batch, int(path.name)), number)
            }
        for path in place.iterdir():
            if int(path.name) not in packets:
                wipe(path)
        if not packets:
            place.rmdir()
            return
        self.budget.take(sum(packets.values()))
        self._bundles[bundle] = _Waiting(asked, packets)
        if asked:
            self._nexts[batch] = max(self._nexts.get(batch, 0), number + 1)

    def _places(self, asked: bool) -> Iterator[tuple[Path, Bundle]]:
        for place in list(self._path(asked, (0, 0)).parent.iterdir()):
            batch, number = place.name.split("-")
            yield place, (int(batch), int(number))

    def _path(self, asked: bool, bundle: Bundle) -> Path:
        batch, number = bundle
        return self.folder / ("asked" if asked else "ahead") / f"{batch}-{number}"

    def _size(self, batch: int, number: int, party: int) -> int:
        with self._changed:
            waiting = self._bundles.get((batch, number))
        if waiting is None or party not in waiting.packets:
            raise self._had(party, number, batch)
        return waiting.packets[party]

    def _was_had(self, bundle: Bundle) -> bool:
        batch, number = bundle
        return any(
            self._ledger.has(_lane(batch, party), number) for party in (*range(self.parties), _GIVEN_UP)
        )

    def _require_fresh(self, bundle: Bundle) -> None:
        if self._was_had(bundle):
            raise ConflictError(
                f"bundle {bundle[1]} of batch {bundle[0]} was had or given up already; a bundle serves once"
            )

    def _require_open(self) -> None:
        if self._closed:
            raise ConflictError("this deployment has ended")

    def _had(self, party: int, number: int, batch: int) -> ConflictError:
        return ConflictError(
            f"party {party} has had bundle {number} of batch {batch} already; a bundle serves once"
        )


def _lane(batch: int, party: int) -> int:
    return batch << _LANES | party
