"""Content-addressed files: a blob's name is its SHA-256, so it never changes and is never half there.

A blob is written to a temporary file, synced and renamed; its database row comes after it. What a crash
leaves behind is a temporary file or a blob without a row: both are swept at start.
"""

import hashlib
import os
import re
import secrets
import threading
import time
import zlib
from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_CHUNK_BYTES: Final = 2**20


@dataclass(frozen=True, slots=True)
class Seal:
    """A finished, synced file that is about to become a blob."""

    path: Path
    sha256: str
    size_bytes: int


class BlobFolder:
    """Blobs under one folder, two levels deep; temporary files beside them."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming = root / "incoming"
        self._locks = tuple(threading.Lock() for _ in range(64))
        self._incoming.mkdir(mode=0o700, parents=True, exist_ok=True)

    def lock(self, name: str) -> threading.Lock:
        """Return the lock that whoever appends to the arriving file `name` holds."""
        return self._locks[zlib.crc32(name.encode()) % len(self._locks)]

    def path(self, sha256: str) -> Path:
        """Return where the blob of this hash lies; map it, never write to it."""
        if not _DIGEST.fullmatch(sha256):
            raise ValueError("a blob's name is 64 hex digits")
        return self._root / sha256[:2] / sha256

    def part(self, name: str) -> Path:
        """Return the path of a file that is still arriving, such as an open upload."""
        if not re.fullmatch(r"[a-z]+-[0-9a-f]+", name):
            raise ValueError("not a name of an arriving file")
        return self._incoming / name

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Give a path for a file to be made; whatever is left there afterwards is removed."""
        path = self._incoming / f"tmp-{secrets.token_hex(12)}"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def seal(self, path: Path) -> Seal:
        """Sync a finished file to disk and name it. Cost: one read of it, one fsync."""
        with path.open("rb") as file:
            digest = digest_of(file)
            os.fsync(file.fileno())
            return Seal(path, digest, os.fstat(file.fileno()).st_size)

    def place(self, seal: Seal) -> None:
        """Turn a sealed file into a blob, durably; it is gone from its old place. Cost: one folder sync."""
        place = self.path(seal.sha256)
        place.parent.mkdir(mode=0o700, exist_ok=True)
        seal.path.chmod(0o400)
        seal.path.replace(place)
        _sync_folder(place.parent)

    def remove(self, sha256: str) -> None:
        """Delete a blob that no row names any more. Processes that mapped it keep their view."""
        self.path(sha256).unlink(missing_ok=True)

    def sweep(self, kept_blobs: Set[str], kept_parts: Set[str], *, older_than_s: float = 0) -> int:
        """Delete blobs and arriving files that no row names and that rest that long; returns how many."""
        removed = 0
        for path in sorted(self._root.glob("*/*")):
            kept = kept_parts if path.parent == self._incoming else kept_blobs
            if path.name not in kept and path.stat().st_mtime <= time.time() - older_than_s:
                path.unlink(missing_ok=True)
                removed += 1
        return removed


def digest_of(file: BinaryIO) -> str:
    """Return the hex SHA-256 of what is left of a file."""
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
