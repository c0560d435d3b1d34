"""Putting a back-up in place of nothing: checked as a whole before its folder gets its name."""

import hashlib
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Final

from pydantic import ValidationError
from sqlalchemy import create_engine, inspect
from sqlalchemy.engine import make_url
from sqlmodel import Session, delete, update

from gridward.core.audit import check_head, moment
from gridward.core.errors import AlreadyExistsError, InvalidInputError
from gridward.core.smpc.disk import DIRECTORY_MODE, secret_opener, sync_folder, write_durably
from gridward.server import audit, keys, postgres_tools
from gridward.server.accounts import Accounts
from gridward.server.backup_format import (
    DATABASE,
    FILES,
    MANIFEST,
    RESTORED,
    SQLITE,
    SQLITE_ENDS,
    Content,
    Manifest,
    ServerKind,
    belongs,
)
from gridward.server.settings import ServerSettings

_CHUNK_BYTES: Final = 2**20
_MANIFEST_BYTES: Final = 2**28


def restore(settings: ServerSettings, kind: ServerKind, archive: Path) -> Manifest:
    """Make the data folder, and the database where that is elsewhere, from a back-up.

    Raises `AlreadyExistsError` where there is something already, `InvalidInputError` for an archive that is
    cut, changed or not a back-up. Nothing is left behind then.
    """
    place = settings.data_dir.absolute()
    url = make_url(settings.url_of_database())
    if place.is_mount():
        raise InvalidInputError(f"{place} is a mount point; name a folder inside it")
    if place.exists() and any(place.iterdir()):
        raise AlreadyExistsError(f"{place} is not empty; a restore replaces nothing")
    _require_empty(url.render_as_string(hide_password=False))
    place.parent.mkdir(parents=True, exist_ok=True)
    with _fresh_folder(place.parent) as fresh:
        manifest = _unpack(archive, fresh)
        if manifest.kind is not kind:
            raise InvalidInputError(f"{archive} is of a {manifest.kind.value}, not of a {kind.value}")
        if manifest.database != url.get_backend_name():
            raise InvalidInputError(
                f"the back-up is of a {manifest.database} database; set GRIDWARD_DATABASE_URL to an empty one"
            )
        folder = fresh / FILES
        _check_server(folder, manifest)
        marker = manifest.model_copy(update={"files": {}}).model_dump_json().encode()
        write_durably(folder / RESTORED, marker)
        if url.get_backend_name() == SQLITE:
            wanted = Path(str(url.database)).absolute()
            inside = wanted.is_relative_to(place)
            shutil.move(fresh / DATABASE, folder / wanted.relative_to(place) if inside else wanted)
        else:
            postgres_tools.restore(url, fresh / DATABASE)
        sync_folder(folder)
        if place.exists():
            place.rmdir()
        folder.rename(place)
        sync_folder(place.parent)
    return manifest


def note(accounts: Accounts, undo: Callable[[Session], None] = lambda _: None) -> None:
    """At the first start after a restore: write it into the audit log, and let nothing be used again.

    Sessions, tokens, invitations and codes that were ended since the back-up came back with it: all of
    them end, and letters that wait were sent, or hold such a token.
    ``undo`` is what else of the kind a service has, in the same transaction.
    """
    marker = accounts.settings.data_dir / RESTORED
    if not marker.exists():
        return
    manifest = Manifest.model_validate_json(marker.read_bytes())
    said = f"from a back-up of {moment(manifest.made_at)}, when the log had {manifest.head.count} entries"
    with accounts.database.write() as db:
        known = accounts.tables
        for table in (known.session, known.service_token, known.invitation, known.outbox):
            db.exec(delete(table))
        db.exec(update(known.user).values(email_code_hash=None, email_code_expires_at=None))
        undo(db)
        audit.record(db, accounts.tables.audit, None, accounts.clock(), "restore", "", reason=said)
    marker.unlink()


@contextmanager
def _fresh_folder(parent: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=".restore-", dir=parent) as name:
        (Path(name) / FILES).mkdir(mode=DIRECTORY_MODE)
        yield Path(name)


def _require_empty(url: str) -> None:
    made = make_url(url)
    if made.get_backend_name() == SQLITE:
        path = Path(str(made.database)).absolute()
        for taken in (path, *(path.with_name(path.name + end) for end in SQLITE_ENDS)):
            if taken.exists():
                raise AlreadyExistsError(f"{taken} exists; a restore replaces nothing")
        return
    engine = create_engine(made)
    try:
        if inspect(engine).get_table_names():
            raise AlreadyExistsError(f"the database {made.database} is not empty; a restore replaces nothing")
    finally:
        engine.dispose()


def _unpack(archive: Path, into: Path) -> Manifest:
    found: dict[str, Content] = {}
    written: bytes | None = None
    try:
        with tarfile.open(archive, mode="r|") as members:
            for member in members:
                source = members.extractfile(member)
                if written is not None or not member.isreg() or source is None:
                    raise InvalidInputError(f"{archive} is not a back-up: it holds {member.name}")
                if member.name == MANIFEST:
                    written = source.read(_MANIFEST_BYTES)
                else:
                    found[member.name] = _write(source, into / _safe(archive, member.name))
    except (tarfile.TarError, EOFError, FileExistsError) as why:
        raise InvalidInputError(f"{archive} is cut or not a back-up") from why
    if written is None:
        raise InvalidInputError(f"{archive} is cut: it ends without its manifest")
    try:
        manifest = Manifest.model_validate_json(written)
    except ValidationError as why:
        raise InvalidInputError(f"{archive} holds no manifest that this program can read") from why
    wrong = sorted(
        name for name in manifest.files.keys() | found.keys() if manifest.files.get(name) != found.get(name)
    )
    if wrong:
        raise InvalidInputError(f"{archive} was changed: {', '.join(wrong[:5])} is not what was backed up")
    return manifest


def _safe(archive: Path, name: str) -> PurePosixPath:
    """Return where a member may be put: the database, or a file that a data folder may hold."""
    path = PurePosixPath(name)
    inside = PurePosixPath(*path.parts[1:])
    plain = path.as_posix() == name and ".." not in path.parts and len(path.parts) > 1
    if name == DATABASE or (plain and path.parts[0] == FILES and belongs(inside)):
        return path
    raise InvalidInputError(f"{archive} is not a back-up: it holds {name!r}")


def _write(source: IO[bytes], path: Path) -> Content:
    for folder in reversed(path.parents):  # each closed to others, which `parents=True` would not see to
        folder.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with open(path, "xb", opener=secret_opener) as file:
        while piece := source.read(_CHUNK_BYTES):
            file.write(piece)
            digest.update(piece)
            size += len(piece)
        file.flush()
        os.fsync(file.fileno())
    return Content(size_bytes=size, sha256=digest.hexdigest())


def _check_server(folder: Path, manifest: Manifest) -> None:
    check_head(manifest.head)
    if keys.load(folder).id != manifest.head.server:
        raise InvalidInputError("the back-up's keys are not those of the server that it names")
