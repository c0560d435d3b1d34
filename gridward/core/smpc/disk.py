"""Secret files: written for their owner alone, forced to the disk, and overwritten before they go."""

import os
from collections.abc import Callable
from contextlib import suppress
from io import BufferedIOBase
from pathlib import Path
from typing import Final, TypeAlias

DIRECTORY_MODE: Final = 0o700
FILE_MODE: Final = 0o600
_ZEROS: Final = bytes(1 << 20)

Writing: TypeAlias = Callable[[BufferedIOBase], None]
"""Writes something to a file."""


def write_durably(path: Path, content: bytes | Writing) -> None:
    """Write a secret file (mode 0600) and force it to the disk; its name takes ``sync_folder``.

    ``content`` may write itself, part by part, so that it need not lie in memory twice.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
    with os.fdopen(descriptor, "wb") as file:
        if isinstance(content, bytes):
            file.write(content)
        else:
            content(file)
        file.flush()
        os.fsync(file.fileno())


def append(path: Path, content: bytes) -> None:
    """Add to a secret file (mode 0600), not yet forced to the disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, FILE_MODE)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        file.write(content)


def sync_data(file: int) -> None:
    """Force an open file's bytes to the disk, and of its metadata no more than reading them takes."""
    (os.fdatasync if hasattr(os, "fdatasync") else os.fsync)(file)


def sync_file(path: Path) -> None:
    """Force a file's content to the disk."""
    _sync(path)


def sync_folder(folder: Path) -> None:
    """Force a folder's entries to the disk."""
    _sync(folder)


def wipe(path: Path) -> None:
    """Overwrite a secret file and remove it; one that somebody else removed is no trouble.

    Best effort: the bytes are gone where the file system writes in place, not on copy-on-write and flash
    storage. A crash may bring the name back, with zeros behind it.
    """
    with suppress(FileNotFoundError):
        with path.open("r+b", buffering=0) as file:
            left = os.fstat(file.fileno()).st_size
            while left > 0:
                left -= file.write(_ZEROS[:left])
            sync_data(file.fileno())
        path.unlink()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
