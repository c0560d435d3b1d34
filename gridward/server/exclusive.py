"""One process for one data folder: a second one is refused instead of sweeping the first one's files."""

import fcntl
from pathlib import Path
from typing import IO

from gridward.core.errors import ConflictError


def claim(data_dir: Path) -> IO[bytes]:
    """Lock the folder until the returned file is closed or the process ends, however it ends.

    Raises `ConflictError` if another process, or another app of this one, holds it.
    """
    file = (data_dir / "running").open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as why:
        file.close()
        raise ConflictError(f"another server is running on {data_dir}") from why
    return file
