"""Making a back-up of a server's data folder and database, also while the server runs.

The database comes first, so that every file that it names was there; files come and go as wholes. Packets of
bundles stay out: after a restore none can be used a second time, parties fetch fresh ones. The archive holds
the server's keys and all its data in the clear: it is as secret as the data folder.
"""

import hashlib
import io
import os
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from sqlalchemy import inspect
from sqlalchemy.engine import URL, make_url

from gridward.core.audit import sign_head
from gridward.core.errors import AlreadyExistsError, ConflictError, InvalidInputError
from gridward.core.schemas.audit import AuditHead
from gridward.core.smpc.disk import FILE_MODE, secret_opener, sync_folder
from gridward.server import audit, keys, postgres_tools
from gridward.server.audit import AuditFields
from gridward.server.backup_format import (
    DATABASE,
    FILES,
    MANIFEST,
    SQLITE,
    SQLITE_ENDS,
    Content,
    Manifest,
    ServerKind,
    belongs,
)
from gridward.server.db import Database
from gridward.server.ids import Clock, utc_now
from gridward.server.keys import Keys
from gridward.server.settings import ServerSettings


def back_up(
    settings: ServerSettings, kind: ServerKind, table: type[AuditFields], into: Path, clock: Clock = utc_now
) -> Manifest:
    """Write down that it is done, and do it: the archive's name appears when it is whole and on disk.

    Raises `AlreadyExistsError` rather than replace a file, `ConflictError` where data was deleted meanwhile.
    """
    if into.exists():
        raise AlreadyExistsError(f"{into} exists; a back-up replaces nothing")
    own, url = keys.load(settings.data_dir), make_url(settings.url_of_database())
    with tempfile.TemporaryDirectory(prefix=".backup-", dir=into.absolute().parent) as scratch:
        live = _live(url, settings.data_dir)
        before = set(_files(settings.data_dir, live))
        head = _note(settings, own, table, into.name, clock())
        snapshot, draft = Path(scratch) / DATABASE, Path(scratch) / "archive"
        if url.get_backend_name() == SQLITE:
            _copy_sqlite(Path(str(url.database)), snapshot)
        else:
            postgres_tools.dump(url, snapshot)
        with open(draft, "xb", opener=secret_opener) as file:
            with tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT) as archive:
                manifest = Manifest(
                    kind=kind,
                    program=version("gridward"),
                    made_at=head.at,
                    database=url.get_backend_name(),
                    head=head,
                    files=_pack(archive, settings.data_dir, snapshot, before, live),
                )
                _add(archive, MANIFEST, io.BytesIO(manifest.model_dump_json().encode()))
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, into)
    sync_folder(into.absolute().parent)
    return manifest


def _note(
    settings: ServerSettings, own: Keys, table: type[AuditFields], name: str, now: datetime
) -> AuditHead:
    """Write the back-up into the audit log that it will hold, and sign how far that goes."""
    database = Database(settings.url_of_database())
    try:
        if not inspect(database.engine).has_table(str(table.__tablename__)):
            raise InvalidInputError(f"{settings.data_dir} has no database yet: start it once")
        with database.write() as db:
            audit.record(db, table, None, now, "backup", "", reason=f"to {name}")
        with database.read() as db:
            count, digest = audit.last(db, table)
    finally:
        database.close()
    return sign_head(own.sign_key, count, digest, now)


class _Hashed:
    """A file that is read once, and hashed while it is."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    def read(self, count: int = -1, /) -> bytes:
        piece = self._file.read(count)
        self._hash.update(piece)
        return piece

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


def _live(url: URL, data_dir: Path) -> frozenset[PurePosixPath]:
    """Name the files of a SQLite database in the data folder: the snapshot stands for them."""
    if url.get_backend_name() != SQLITE:
        return frozenset()
    path, place = Path(str(url.database)).absolute(), data_dir.absolute()
    if not path.is_relative_to(place):
        return frozenset()
    name = path.relative_to(place).as_posix()
    return frozenset(PurePosixPath(name + end) for end in ("", *SQLITE_ENDS))


def _files(data_dir: Path, live: frozenset[PurePosixPath]) -> Iterator[PurePosixPath]:
    for path in sorted(data_dir.rglob("*")):
        name = PurePosixPath(path.relative_to(data_dir).as_posix())
        if belongs(name) and name not in live and path.is_file():
            yield name


def _pack(
    archive: tarfile.TarFile,
    data_dir: Path,
    snapshot: Path,
    before: set[PurePosixPath],
    live: frozenset[PurePosixPath],
) -> dict[str, Content]:
    with snapshot.open("rb") as file:
        packed = {DATABASE: _add(archive, DATABASE, file)}
    for name in sorted(before | set(_files(data_dir, live))):
        try:
            with (data_dir / name).open("rb") as file:
                packed[f"{FILES}/{name}"] = _add(archive, f"{FILES}/{name}", file)
        except FileNotFoundError as why:
            raise ConflictError(f"{name} was deleted during the back-up; make it again") from why
    return packed


def _add(archive: tarfile.TarFile, name: str, file: BinaryIO) -> Content:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = file.seek(0, os.SEEK_END), FILE_MODE
    file.seek(0)
    hashed = _Hashed(file)
    archive.addfile(entry, hashed)
    return Content(size_bytes=entry.size, sha256=hashed.sha256)


def _copy_sqlite(source: Path, into: Path) -> None:
    with (
        closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as live,
        closing(sqlite3.connect(into)) as copy,
    ):
        live.backup(copy)
