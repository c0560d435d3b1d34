"""The provider's shelf: packets of dealt bundles, one file a party, wiped when the party says it has its own.

A bundle is dealt once. All packets of a bundle appear together (a folder is renamed into place), so a crash
leaves either the whole bundle or nothing. A packet may be fetched again, byte for byte the same, until its
party confirms; then it is gone, and the folder stays as the mark that this bundle must not be dealt again.
Marks lie in a folder of their own, so that counting what waits does not read all that ever was.
"""

import os
import secrets
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Final

from gridward.core.errors import BusyError, ConflictError

DIRECTORY_MODE: Final = 0o700
FILE_MODE: Final = 0o600
STALE_S: Final = 1800.0
"""Longer than a grant and a query live together: a packet of a bundle so old has hardly a use."""


@dataclass(slots=True)
class Shelf:
    """Dealt bundles of one deployment, by (batch, serial). At most ``limit`` wait to be fetched."""

    folder: Path
    limit: int
    lock: Lock

    def fetch(self, batch: int, serial: int, party: int, deal: Callable[[], Sequence[bytes]]) -> bytes:
        """Return a party's packet; deals the bundle if nobody has asked for it yet."""
        bundle = self.folder / f"{batch}-{serial}"
        with self.lock:
            if not (bundle.is_dir() or self._mark(bundle).is_dir()):
                self._put(bundle, deal)
        try:
            return (bundle / str(party)).read_bytes()
        except FileNotFoundError:
            raise ConflictError(
                f"party {party} has had bundle {serial} of batch {batch} already; a bundle serves once"
            ) from None

    def confirm(self, batch: int, serial: int, party: int) -> None:
        """Wipe a packet that its party has stored; safe to call twice."""
        bundle = self.folder / f"{batch}-{serial}"
        with self.lock:
            if (bundle / str(party)).exists():
                wipe(bundle / str(party))
            if bundle.is_dir() and not any(bundle.iterdir()):
                self._retire(bundle)

    def waiting(self) -> int:
        """Count the bundles with at least one packet that is not fetched."""
        return len(self._waiting())

    def _waiting(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        return [bundle for bundle in self.folder.iterdir() if bundle.name[0] != "." and any(bundle.iterdir())]

    def _mark(self, bundle: Path) -> Path:
        return self.folder / ".dealt" / bundle.name

    def _retire(self, bundle: Path) -> None:
        for packet in bundle.iterdir():
            wipe(packet)
        self._mark(bundle).parent.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
        bundle.rename(self._mark(bundle))
        sync_folder(self._mark(bundle).parent)

    def _make_room(self) -> None:
        """Give up bundles that a party never came for, such as one that a client opened at others only."""
        stale = time.time() - STALE_S
        for bundle in self._waiting():
            if bundle.stat().st_mtime < stale:
                self._retire(bundle)

    def _put(self, bundle: Path, deal: Callable[[], Sequence[bytes]]) -> None:
        if self.waiting() >= self.limit:
            self._make_room()
        if self.waiting() >= self.limit:
            raise BusyError(
                f"{self.limit} bundles wait to be fetched by their parties; retry when they have been"
            )
        self.folder.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        fresh = self.folder / f".{secrets.token_hex(8)}"
        fresh.mkdir(mode=DIRECTORY_MODE)
        try:
            for party, packet in enumerate(deal()):
                write_durably(fresh / str(party), packet)
            fresh.rename(bundle)
            sync_folder(self.folder)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise


def write_durably(path: Path, content: bytes) -> None:
    """Write a new secret file (mode 0600) and force it to the disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def replace_durably(path: Path, content: bytes) -> None:
    """Write a secret file so that a crash leaves the old or the new content, never a part."""
    path.parent.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    write_durably(fresh, content)
    fresh.rename(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Force a folder's entries to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def wipe(path: Path) -> None:
    """Overwrite a secret file and remove it; best effort on copy-on-write and flash storage."""
    with path.open("r+b") as file:
        file.write(b"\0" * path.stat().st_size)
        file.flush()
        os.fsync(file.fileno())
    path.unlink()
    sync_folder(path.parent)


def wipe_folder(folder: Path) -> None:
    """Wipe every file of a folder and remove it; one that somebody else removes meanwhile is no trouble."""
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            if path.is_file():
                wipe(path)
    shutil.rmtree(folder, ignore_errors=True)
