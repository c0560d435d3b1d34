"""A pool of query packets on disk: each is spent, durably, before its bytes are given out, and once."""

import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gridward.core.errors import AlreadyExistsError, EmptyCryptoPrimitiveStoreError, InvalidInputError
from gridward.core.smpc.packets import PacketKind, parse_packet

_SERIAL: Final = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class BundlePool:
    """Packets of one program and deployment in a folder of their own, named by serial.

    ``unspent/`` holds packets, ``spent/`` one empty file for each packet that was ever given out. Several
    processes may share the folder. Open it with ``open_pool``.
    """

    folder: Path

    @property
    def _unspent(self) -> Path:
        return self.folder / "unspent"

    @property
    def _spent(self) -> Path:
        return self.folder / "spent"

    def store(self, packet: bytes) -> str:
        """Keep a packet for later; give its serial. On disk when this returns.

        Raises ``InvalidInputError`` for bytes that are no query packet, ``AlreadyExistsError`` for a serial
        that is or was in the pool.
        """
        parsed = parse_packet(packet)
        if parsed.kind is not PacketKind.QUERY:
            raise InvalidInputError(f"a packet of kind {parsed.kind.name.lower()} is no bundle")
        serial = parsed.serial.hex()
        if (self._spent / serial).exists():
            raise AlreadyExistsError(f"bundle {serial} was spent")
        draft = _write_draft(self.folder, packet)
        try:
            os.link(draft, self._unspent / serial)
        except FileExistsError as why:
            raise AlreadyExistsError(f"bundle {serial} is in the pool") from why
        finally:
            draft.unlink(missing_ok=True)
        _sync(self._unspent)
        return serial

    def take(self, serial: str) -> bytes:
        """Spend one packet and give its bytes; the file is overwritten, if the file system does so in place.

        The mark is on disk before the bytes are read: no crash, retry or second process gets them again.
        Raises ``EmptyCryptoPrimitiveStoreError`` where the packet was spent or never here.
        """
        held = self._named(serial)
        mark = self._spent / serial
        try:
            os.link(held, mark)  # fails if the mark exists: this is the one step that decides who spends it
        except FileExistsError as why:
            held.unlink(missing_ok=True)
            raise EmptyCryptoPrimitiveStoreError(f"bundle {serial} was spent") from why
        except FileNotFoundError as why:
            raise EmptyCryptoPrimitiveStoreError(f"bundle {serial} is not in the pool") from why
        _sync(self._spent)
        held.unlink(missing_ok=True)
        _sync(self._unspent)
        packet = mark.read_bytes()
        _wipe(mark)
        return packet

    def discard(self, serial: str) -> None:
        """Spend a packet without use, for instance because another party lost its part."""
        self.take(serial)

    def serials(self) -> list[str]:
        """List the packets that are left, sorted."""
        return sorted(path.name for path in self._unspent.iterdir() if not (self._spent / path.name).exists())

    @property
    def left(self) -> int:
        """Count the packets that are left."""
        return len(self.serials())

    def _named(self, serial: str) -> Path:
        if not _SERIAL.fullmatch(serial):
            raise InvalidInputError("a serial has 32 hexadecimal digits")
        return self._unspent / serial


def open_pool(folder: Path) -> BundlePool:
    """Open or make a pool, and wipe what a crash left of spent packets and of half-written ones.

    Call it once at start, before any other process uses the folder.
    """
    pool = BundlePool(folder)
    for part in (folder, folder / "unspent", folder / "spent"):
        part.mkdir(mode=0o700, parents=True, exist_ok=True)
    for mark in (folder / "spent").iterdir():
        (folder / "unspent" / mark.name).unlink(missing_ok=True)
        if mark.stat().st_size:
            _wipe(mark)
    for draft in folder.glob("*.draft"):
        _wipe(draft)
        draft.unlink()
    return pool


def _write_draft(folder: Path, data: bytes) -> Path:
    handle, name = tempfile.mkstemp(suffix=".draft", dir=folder)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return Path(name)


def _wipe(path: Path) -> None:
    """Overwrite a file with zeros, then cut it to nothing; the name stays."""
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
        file.flush()
        os.fsync(file.fileno())
        file.truncate(0)
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
