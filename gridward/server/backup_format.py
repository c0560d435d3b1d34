"""What a back-up is: a tar archive of the database, the files of the data folder and a manifest."""

from datetime import datetime
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from gridward.core.schemas.audit import DIGEST_PATTERN, AuditHead

MANIFEST: Final = "manifest.json"
DATABASE: Final = "database"
FILES: Final = "files"
RESTORED: Final = "restored.json"
"""In the data folder, from a restore to the next start: the manifest of the back-up, without its list."""
SQLITE: Final = "sqlite"
SQLITE_ENDS: Final = ("-wal", "-shm", "-journal")
"""End the names of what SQLite keeps beside a database."""
PACKETS: Final = frozenset({"unspent", "open", "spent", "ahead", "asked"})
"""Folders of bundles' packets: one that came back could hide two values behind the same mask."""
DRAFT: Final = ".draft"
"""Ends the name of a packet that is still arriving."""
_OWN: Final = frozenset({"running", RESTORED})


class ServerKind(StrEnum):
    """Whose data folder it is."""

    NODE = "node"
    GATEWAY = "gateway"


class Content(BaseModel):
    """One file of the archive."""

    model_config = ConfigDict(extra="forbid")

    size_bytes: int = Field(ge=0)
    sha256: str = Field(pattern=DIGEST_PATTERN)


class Manifest(BaseModel):
    """What the archive holds, of which server, and how far its audit log went."""

    model_config = ConfigDict(extra="forbid")

    format: Literal["gridward.back-up"] = "gridward.back-up"
    version: Literal[1] = 1
    kind: ServerKind
    program: str = Field(description="Version of the program that made it.")
    made_at: datetime
    database: str = Field(description="Backend of the database: sqlite or postgresql.")
    head: AuditHead
    files: dict[str, Content]


def belongs(path: PurePosixPath) -> bool:
    """Say whether a file of the data folder, named relative to it, belongs into a back-up."""
    passing = any(part.startswith(".") or part == "incoming" for part in path.parts)
    secret = path.parts[0] in ("parties", "provider")
    packet = secret and (path.suffix == DRAFT or not PACKETS.isdisjoint(path.parts[:-1]))
    own = str(path) in _OWN or path.parts[0].startswith("gridward.db")
    return not (passing or packet or own)
