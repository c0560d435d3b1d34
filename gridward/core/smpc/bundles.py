"""A pool of query packets on disk: each is spent, durably, before its bytes are read, and given out once."""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Final

from gridward.core.errors import AlreadyExistsError, EmptyCryptoPrimitiveStoreError, InvalidInputError
from gridward.core.smpc.disk import DIRECTORY_MODE, append, sync_file, sync_folder, wipe
from gridward.core.smpc.ledger import Ledger, Total, open_ledger
from gridward.core.smpc.packets import (
    HEADER_BYTES,
    BodyOnDisk,
    OpenPacket,
    Packet,
    PacketKind,
    name_bundle,
    named_bundle,
    parse_header,
)

LEDGER: Final = "ledger"
_HELD: Final = re.compile(r"(\d{1,4})-(\d{1,16})")


class SpentBody(BodyOnDisk):
    """The body of a spent packet, on the disk until it is closed."""

    __slots__ = ("_place", "_spent", "_when_closed")

    def __init__(self, place: Path, spent: Path, when_closed: Callable[[], None]) -> None:
        super().__init__(FileIO(place))
        self._place, self._spent, self._when_closed = place, spent, when_closed

    def close(self) -> None:
        """Put the file where ``sweep`` wipes it; safe to call twice."""
        if not self.is_closed:
            super().close()
            with suppress(FileNotFoundError):  # wiped with its deployment
                self._place.rename(self._spent / self._place.name)
            self._when_closed()


@dataclass(frozen=True, slots=True)
class BundlePool:
    """Packets of one deployment by batch size and number, in a folder of their own; see ``open_pool``.

    ``unspent/`` holds packets, ``open/`` those that were given out and are being read, ``spent/`` those that
    are not wiped yet; the ledger alone says which numbers were given out. Several threads, and processes, may
    share the folder. A number that lies ``ledger.WINDOW`` behind the highest spent one of its batch size
    counts as spent.
    """

    folder: Path
    ledger: Ledger

    @property
    def _unspent(self) -> Path:
        return self.folder / "unspent"

    @property
    def _open(self) -> Path:
        return self.folder / "open"

    @property
    def _spent(self) -> Path:
        return self.folder / "spent"

    def add_piece(self, batch: int, number: int, at: int, piece: bytes) -> None:
        """Keep the next bytes of a packet that comes in pieces; ``at`` is where they begin. Not yet durable.

        Raises ``InvalidInputError`` where they are not the next ones.
        """
        if at != self.drafted(batch, number):
            raise InvalidInputError(f"{self.drafted(batch, number)} bytes are here, not {at}")
        append(self._draft(batch, number), piece)

    def drafted(self, batch: int, number: int) -> int:
        """Say how many bytes of a packet came in pieces so far."""
        try:
            return self._draft(batch, number).stat().st_size
        except FileNotFoundError:
            return 0

    def draft_serial(self, batch: int, number: int, packet_bytes: int) -> bytes:
        """Give the serial of a packet of which the first piece is here; raises ``InvalidInputError``."""
        with self._draft(batch, number).open("rb") as file:
            return parse_header(file.read(HEADER_BYTES), packet_bytes).serial

    def drop(self, batch: int, number: int) -> None:
        """Wipe the pieces of a packet."""
        wipe(self._draft(batch, number))

    def keep(self, batch: int, numbers: Sequence[int]) -> None:
        """Put packets whose pieces are complete in the pool. On disk when this returns.

        Raises ``InvalidInputError`` for bytes that are no such packet, ``AlreadyExistsError`` for a number
        that is or was in the pool; the pieces are wiped then.
        """
        for number in numbers:
            draft = self._draft(batch, number)
            try:
                self._check(batch, number, draft)
                sync_file(draft)
                os.link(draft, self._held(batch, number))
            except FileExistsError as why:
                if draft.stat().st_nlink > 1:  # another name of what is in the pool, left by a kill
                    draft.unlink()
                else:
                    wipe(draft)
                raise AlreadyExistsError(f"bundle {number} of batch {batch} is in the pool") from why
            except (AlreadyExistsError, InvalidInputError):
                wipe(draft)
                raise
            draft.unlink()
        sync_folder(self._unspent)

    def store(self, batch: int, number: int, packet: bytes) -> None:
        """Keep a whole packet for later; see ``keep``."""
        self.drop(batch, number)
        self.add_piece(batch, number, 0, packet)
        self.keep(batch, [number])

    def take(self, batch: int, number: int, when_closed: Callable[[], None] = lambda: None) -> OpenPacket:
        """Spend one packet and give it, to be read part by part.

        The mark is on disk before a byte is read: no crash, retry or second process gets them again. The
        seed is overwritten at once; the body stays on disk until it is closed, which calls ``when_closed``,
        and then until ``sweep``, or until ``open_pool`` after a crash.
        Cost: one durable write of 32 bytes.
        Raises ``EmptyCryptoPrimitiveStoreError`` where the packet was spent or never here.
        """
        held, place = self._held(batch, number), self._open / f"{batch}-{number}"
        try:
            with held.open("r+b", buffering=0) as file:
                size = os.fstat(file.fileno()).st_size
                if not self.ledger.add(batch, number, size):
                    raise EmptyCryptoPrimitiveStoreError(f"bundle {number} of batch {batch} was spent")
                header = parse_header(file.read(HEADER_BYTES), size)
                file.seek(0)
                file.write(bytes(HEADER_BYTES))
            held.rename(place)
            return OpenPacket(header, SpentBody(place, self._spent, when_closed))
        except FileNotFoundError as why:
            fate = "was spent" if self.was_spent(batch, number) else "is not in the pool"
            raise EmptyCryptoPrimitiveStoreError(f"bundle {number} of batch {batch} {fate}") from why

    def discard(self, batch: int, number: int) -> None:
        """Spend a packet without use, because nobody will ask for it; one that is gone is no trouble."""
        held = self._held(batch, number)
        with suppress(FileNotFoundError):
            if self.ledger.add(batch, number, held.stat().st_size):
                held.rename(self._spent / held.name)

    def sweep(self) -> None:
        """Wipe the packets that were given out and read; to be called soon after, beside the queries."""
        for path in self._spent.iterdir():
            wipe(path)

    def holds(self, batch: int, number: int) -> bool:
        """Say whether a packet is here and not spent."""
        return self._held(batch, number).exists() and not self.was_spent(batch, number)

    def knows(self, batch: int, number: int) -> bool:
        """Say whether a packet is here or was spent."""
        return self._held(batch, number).exists() or self.was_spent(batch, number)

    def was_spent(self, batch: int, number: int) -> bool:
        """Say whether a packet was given out, or counts as such."""
        return self.ledger.has(batch, number)

    def held(self) -> dict[int, dict[int, int]]:
        """Give the bytes of every packet that is left, by batch size and number."""
        found: dict[int, dict[int, int]] = {}
        for batch, number, path in self._files():
            if not self.was_spent(batch, number):
                found.setdefault(batch, {})[number] = path.stat().st_size
        return found

    @property
    def left(self) -> int:
        """Count the packets that are left."""
        return sum(len(numbers) for numbers in self.held().values())

    def spent(self) -> Mapping[int, Total]:
        """Give how many packets of each batch size were given out, and their bytes."""
        return self.ledger.totals()

    def recover(self) -> None:
        """Wipe what a crash left of spent packets and of half-written ones."""
        for batch, number, path in self._files():
            if self.was_spent(batch, number):
                wipe(path)
        for draft in self.folder.glob("*.draft"):
            if draft.stat().st_nlink > 1:
                draft.unlink()  # killed while it was put in the pool: there, the same bytes have another name
            else:
                wipe(draft)
        for path in self._open.iterdir():
            wipe(path)
        self.sweep()

    def _files(self) -> Iterator[tuple[int, int, Path]]:
        for path in sorted(self._unspent.iterdir()):
            if name := _HELD.fullmatch(path.name):
                yield int(name[1]), int(name[2]), path

    def _held(self, batch: int, number: int) -> Path:
        name_bundle(batch, number)
        return self._unspent / f"{batch}-{number}"

    def _draft(self, batch: int, number: int) -> Path:
        name_bundle(batch, number)
        return self.folder / f"{batch}-{number}.draft"

    def _check(self, batch: int, number: int, draft: Path) -> None:
        packet = _read_header(draft)
        if packet.kind is not PacketKind.QUERY:
            raise InvalidInputError(f"a packet of kind {packet.kind.name.lower()} is no bundle")
        if (named := named_bundle(packet.serial)) != (batch, number):
            raise InvalidInputError(
                f"a packet of bundle {named[1]} of batch {named[0]} came as {number} of {batch}"
            )
        if self.was_spent(batch, number):
            raise AlreadyExistsError(f"bundle {number} of batch {batch} was spent")


def open_pool(folder: Path) -> BundlePool:
    """Open or make a pool, and wipe what a crash left of spent packets and of half-written ones.

    Call it once at start, before any other process uses the folder. Packets without a ledger, of which nobody
    can say whether they were spent, are wiped. Raises ``InvalidInputError`` where the ledger is damaged.
    """
    for part in (folder, *(folder / name for name in ("unspent", "open", "spent"))):
        part.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
    if not (folder / LEDGER).exists():
        for orphan in (folder / "unspent").iterdir():
            wipe(orphan)
    pool = BundlePool(folder, open_ledger(folder / LEDGER))
    pool.recover()
    return pool


def join_pool(folder: Path) -> BundlePool:
    """Share a pool that is open already, here or in another process."""
    return BundlePool(folder, Ledger(folder / LEDGER))


def _read_header(path: Path) -> Packet:
    with path.open("rb") as file:
        return parse_header(file.read(HEADER_BYTES), os.fstat(file.fileno()).st_size)
