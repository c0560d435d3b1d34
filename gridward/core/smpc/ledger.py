"""Numbers that must not come twice, on disk: each is there for good when ``add`` returns, in bounded space.

A log of records in a file that is made at its full size: a mark changes no metadata, so that one
``fdatasync`` of one block makes it durable. A full log is written anew as what it adds up to.
"""

import fcntl
import hashlib
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Final

from gridward.core.errors import InvalidInputError
from gridward.core.smpc.disk import sync_data, sync_folder, write_durably

WINDOW: Final = 1024
"""How far a number may lie behind the highest of its lane; what lies further behind counts as there."""
RECORD_BYTES: Final = 32
SECTOR_BYTES: Final = 512
"""What a disk writes as a whole: no write reaches over a sector's end before the sector is durable."""
ROOM_RECORDS: Final = 2048
_CHECK_BYTES: Final = 8
_BODY: Final = struct.Struct("<IIQQ")
_EMPTY: Final = bytes(RECORD_BYTES)


class _Kind(IntEnum):
    """What a record says of its lane: the file's generation, its floor, one number, its totals."""

    HEAD = 1
    FLOOR = 2
    MARK = 3
    TOTAL = 4


@dataclass(frozen=True, slots=True)
class Total:
    """How many numbers were added to a lane, and the amounts that came with them."""

    count: int = 0
    amount: int = 0


@dataclass(slots=True)
class _Lane:
    """Every number below ``floor`` is there, and those in ``marks``, all within ``WINDOW`` of the highest."""

    floor: int = 0
    marks: set[int] = field(default_factory=set)
    total: Total = Total()

    def has(self, number: int) -> bool:
        return number < self.floor or number in self.marks

    def add(self, number: int, amount: int) -> None:
        self.marks.add(number)
        self.total = Total(self.total.count + 1, self.total.amount + amount)
        if number - WINDOW >= self.floor:
            self.floor = number - WINDOW + 1
            self.marks = {mark for mark in self.marks if mark >= self.floor}
        while self.floor in self.marks:
            self.marks.remove(self.floor)
            self.floor += 1

    @property
    def next(self) -> int:
        return max(self.marks, default=self.floor - 1) + 1


@dataclass(slots=True, eq=False)
class Ledger:
    """Numbers by lane, with an amount each. Several threads, objects and processes may share the file.

    Who holds the lock of the folder reads what others wrote since, and writes. Open it with ``open_ledger``.
    """

    path: Path
    _head: bytes = b""
    _end: int = 0
    _lanes: dict[int, _Lane] = field(default_factory=dict)

    def has(self, lane: int, number: int) -> bool:
        """Say whether a number is there, or too far behind to be told from those that are."""
        with self._read():
            return lane in self._lanes and self._lanes[lane].has(number)

    def add(self, lane: int, number: int, amount: int = 0) -> bool:
        """Add a number, durably; false where it was there. Raises ``OSError`` where the disk refuses."""
        return bool(self.add_all(((lane, number, amount),)))

    def add_all(self, marks: Sequence[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
        """Add several (lane, number, amount) at once, durably; gives those that were not there."""
        with self._read() as file:
            fresh = []
            for lane, number, amount in marks:
                known = self._lanes.setdefault(lane, _Lane())
                if not known.has(number):
                    known.add(number, amount)
                    fresh.append((lane, number, amount))
            records = [_record(_Kind.MARK, lane, number, amount) for lane, number, amount in fresh]
            if self._end + RECORD_BYTES * len(records) > os.fstat(file).st_size:
                self._rewrite()
            else:
                self._append(file, b"".join(records))
            return fresh

    def totals(self) -> Mapping[int, Total]:
        """Give what was added up in each lane."""
        with self._read():
            return {lane: known.total for lane, known in self._lanes.items()}

    def nexts(self) -> Mapping[int, int]:
        """Give the number after the highest of each lane."""
        with self._read():
            return {lane: known.next for lane, known in self._lanes.items()}

    @contextmanager
    def _read(self) -> Iterator[int]:
        """Hold the lock of the folder, up to date with the file, which is open for writing."""
        with _locked(self.path.parent):
            file = os.open(self.path, os.O_RDWR)
            try:
                self._catch_up(file)
                yield file
            except BaseException:
                self._head = b""  # what is in memory may not be on the disk: read all of it next time
                raise
            finally:
                os.close(file)

    def _catch_up(self, file: int) -> None:
        head = os.pread(file, RECORD_BYTES, 0)
        if head != self._head:
            _parse(self.path, head, _Kind.HEAD)
            self._head, self._end, self._lanes = head, RECORD_BYTES, {}
        while (record := os.pread(file, RECORD_BYTES, self._end)) not in (_EMPTY, b""):
            if _intact(record) is None:
                self._drop_torn(file)
                return
            self._learn(record)
            self._end += RECORD_BYTES

    def _learn(self, record: bytes) -> None:
        kind, lane, number, amount = _parse(self.path, record)
        known = self._lanes.setdefault(lane, _Lane())
        match kind:
            case _Kind.FLOOR:
                known.floor = number
            case _Kind.MARK:
                known.add(number, amount)
            case _Kind.TOTAL:
                known.total = Total(number, amount)
            case _Kind.HEAD:
                raise InvalidInputError(f"{self.path} begins twice: it is damaged")

    def _drop_torn(self, file: int) -> None:
        """Clear a record that a crash cut off. It was never durable, so nothing was done on its word.

        It has nothing behind it: anything else is damage, and nobody can say what is lost.
        """
        behind = self._end + RECORD_BYTES
        if any(os.pread(file, os.fstat(file).st_size - behind, behind)):
            raise InvalidInputError(f"{self.path} is damaged at byte {self._end}: deploy the model anew")
        os.pwrite(file, _EMPTY, self._end)
        sync_data(file)

    def _append(self, file: int, records: bytes) -> None:
        while records:
            fits = SECTOR_BYTES - self._end % SECTOR_BYTES
            os.pwrite(file, records[:fits], self._end)
            sync_data(file)
            self._end += len(records[:fits])
            records = records[fits:]

    def _rewrite(self) -> None:
        """Replace the file by a short one that says the same."""
        (_, _, generation, _) = _parse(self.path, self._head, _Kind.HEAD)
        self._head = _record(_Kind.HEAD, 0, generation + 1, 0)
        said = self._head + b"".join(_summary(lane, known) for lane, known in sorted(self._lanes.items()))
        _write(self.path, said)
        self._end = len(said)


def open_ledger(path: Path) -> Ledger:
    """Open or make a ledger in a folder that is there. Raises ``InvalidInputError`` for a damaged one.

    A crash leaves the number that was being added either there or not; one whose ``add`` returned is there.
    """
    with _locked(path.parent):
        if not path.exists():
            _write(path, _record(_Kind.HEAD, 0, 1, 0))
    ledger = Ledger(path)
    ledger.totals()
    return ledger


def _summary(lane: int, known: _Lane) -> bytes:
    marks = (_record(_Kind.MARK, lane, mark, 0) for mark in sorted(known.marks))
    floor = _record(_Kind.FLOOR, lane, known.floor, 0)
    return floor + b"".join(marks) + _record(_Kind.TOTAL, lane, known.total.count, known.total.amount)


def _record(kind: _Kind, lane: int, number: int, amount: int) -> bytes:
    body = _BODY.pack(kind, lane, number, amount)
    return hashlib.sha256(body).digest()[:_CHECK_BYTES] + body


def _intact(record: bytes) -> bytes | None:
    check, body = record[:_CHECK_BYTES], record[_CHECK_BYTES:]
    return body if hashlib.sha256(body).digest()[:_CHECK_BYTES] == check else None


def _parse(path: Path, record: bytes, wanted: _Kind | None = None) -> tuple[_Kind, int, int, int]:
    body = _intact(record)
    if body is None or len(body) != _BODY.size:
        raise InvalidInputError(f"{path} is damaged: deploy the model anew")
    kind, lane, number, amount = _BODY.unpack(body)
    if wanted not in (None, kind):
        raise InvalidInputError(f"{path} is no ledger of this version")
    return _Kind(kind), lane, number, amount


def _write(path: Path, said: bytes) -> None:
    fresh = path.with_name(f".{path.name}.new")
    write_durably(fresh, said + ROOM_RECORDS * _EMPTY)
    fresh.rename(path)
    sync_folder(path.parent)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep threads, objects and processes out of each other's way; a process that dies lets go."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
