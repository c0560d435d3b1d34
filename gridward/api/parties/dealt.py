"""Secret files of deployments: replaced whole, and wiped with their folders when a deployment ends."""

import secrets
import shutil
from pathlib import Path

from gridward.core.smpc.disk import DIRECTORY_MODE, Writing, sync_folder, wipe, write_durably


def replace_durably(path: Path, content: bytes | Writing) -> None:
    """Write a secret file so that a crash leaves the old or the new content, never a part."""
    path.parent.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    write_durably(fresh, content)
    fresh.rename(path)
    sync_folder(path.parent)


def wipe_folder(folder: Path) -> None:
    """Wipe every file of a folder and remove it; one that somebody else removes meanwhile is no trouble."""
    for path in folder.rglob("*"):
        if path.is_file():
            wipe(path)
    shutil.rmtree(folder, ignore_errors=True)
