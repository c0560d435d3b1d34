"""Resumable uploads: announced size and hash, chunks in order, complete when the hash fits.

Nobody can tell from an answer whether a node holds some content already: the same bytes are sent and
counted again.
"""

import hmac
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO, Final

from gridward.api import queries
from gridward.api.content import limits, usable_upload
from gridward.api.formats.read import find
from gridward.api.node import Node
from gridward.api.storage import require_room
from gridward.api.tables.datasets import Upload
from gridward.core.errors import (
    ConflictError,
    ObjectNotFoundError,
    SendNotPermittedError,
    TooLargeError,
    UploadRefusedError,
)
from gridward.core.schemas.uploads import ColumnFound, MediaType, UploadContent, UploadIn, UploadOut
from gridward.server.blobs import digest_of
from gridward.server.db import lock
from gridward.server.ids import new_id
from gridward.server.principals import Capability, Principal

_SENDING: Final = (Capability.PUBLISH, Capability.HOST_MODELS, Capability.TRAIN)


def create(node: Node, caller: Principal, body: UploadIn) -> UploadOut:
    """Announce an upload. Sizes and quotas are checked before a byte is stored."""
    if caller.user_id is None or not any(caller.may(capability) for capability in _SENDING):
        raise SendNotPermittedError(f"'{caller.name}' may not store things on this node; ask its owner")
    limit = node.settings.upload_max_bytes
    if body.size_bytes > limit:
        raise TooLargeError(f"this node takes uploads of up to {limit} bytes")
    now = node.clock()
    upload = Upload(
        id=new_id("upl"),
        user_id=caller.user_id,
        size_bytes=body.size_bytes,
        sha256=body.sha256,
        media_type=body.media_type.value,
        created_at=now,
        touched_at=now,
    )
    with node.database.write() as db:
        lock(db, "blobs")
        if queries.open_uploads(db, caller.user_id) >= node.settings.uploads_open:
            raise ConflictError("you have too many open uploads on this node; finish or delete some")
        require_room(node, db, caller.user_id, body.size_bytes)
        if body.size_bytes > shutil.disk_usage(node.settings.data_dir).free:
            raise TooLargeError("this node's disk is full; ask its owner")
        db.add(upload)
    return _describe(node, upload)


def get(node: Node, caller: Principal, upload_id: str) -> UploadOut:
    """Say where one's upload stands; resume at `received_bytes`."""
    return _describe(node, _own(node, caller, upload_id))


def append(node: Node, caller: Principal, upload_id: str, offset: int, chunk: bytes) -> UploadOut:
    """Store the next chunk; durable when this returns. With the last one the hash is checked.

    Raises `ConflictError` if `offset` is not what was received so far, `UploadRefusedError` if the whole is
    not what was announced: then it is gone.
    """
    with node.blobs.lock(upload_id):
        upload = _own(node, caller, upload_id)
        end = offset + len(chunk)
        if upload.complete or offset != upload.received_bytes:
            raise ConflictError(f"resume at byte {upload.received_bytes} of {upload.size_bytes}")
        if len(chunk) > node.settings.upload_chunk_bytes or end > upload.size_bytes:
            raise TooLargeError("the chunk is larger than this node takes, or than what was announced")
        part = node.blobs.part(upload.id)
        _write(part, offset, chunk)
        if end == upload.size_bytes and not _fits(part, upload.sha256):
            _delete(node, upload)
            raise UploadRefusedError("the bytes do not have the announced SHA-256; send them again")
        upload.received_bytes = end
        upload.complete = end == upload.size_bytes
        upload.touched_at = node.clock()
        with node.database.write() as db:
            db.merge(upload)
    return _describe(node, upload)


def take(node: Node, caller: Principal, file: BinaryIO, media_type: MediaType) -> UploadOut:
    """Store a whole file that has arrived, in chunks as `create` and `append` do. Cost: two reads of it.

    Nothing of it stays if it is refused.
    """
    size_bytes = file.seek(0, os.SEEK_END)
    file.seek(0)
    if size_bytes == 0:
        raise UploadRefusedError("the file is empty")
    announced = UploadIn(size_bytes=size_bytes, sha256=digest_of(file), media_type=media_type)
    upload = create(node, caller, announced)
    file.seek(0)
    with dropped_if_refused(node, caller, upload.id):
        while not upload.complete:
            chunk = file.read(upload.chunk_bytes)
            upload = append(node, caller, upload.id, upload.received_bytes, chunk)
    return upload


def take_readable(node: Node, caller: Principal, file: BinaryIO, media_type: MediaType) -> UploadOut:
    """Store a whole file whose columns can be told, as `take` does. Cost: that of `take` and `describe`."""
    upload = take(node, caller, file, media_type)
    with dropped_if_refused(node, caller, upload.id):
        describe(node, caller, upload.id)
    return upload


@contextmanager
def dropped_if_refused(node: Node, caller: Principal, upload_id: str) -> Iterator[None]:
    """Give an upload of the caller's up where the block raises."""
    try:
        yield
    except Exception:
        with suppress(ObjectNotFoundError):  # gone already, or used up before the failure
            delete(node, caller, upload_id)
        raise


def describe(node: Node, caller: Principal, upload_id: str) -> UploadContent:
    """Say what columns a complete upload of the caller's holds. Cost: one pass over a table."""
    with node.blobs.lock(upload_id):
        with node.database.read() as db:
            upload = usable_upload(caller, db, upload_id)
        found = find(node.blobs.part(upload.id), MediaType(upload.media_type), limits(node))
    return UploadContent(
        columns=[
            ColumnFound(
                name=one.name,
                kind=one.kind,
                dtype=one.dtype,
                shape=list(one.shape),
                missing=one.missing,
            )
            for one in found
        ]
    )


def delete(node: Node, caller: Principal, upload_id: str) -> None:
    """Give up an upload."""
    with node.blobs.lock(upload_id):
        _delete(node, _own(node, caller, upload_id))


def expire(node: Node) -> None:
    """Drop uploads that rest for longer than the setting says."""
    before = node.clock() - timedelta(seconds=node.settings.upload_expiry_s)
    with node.database.read() as db:
        stale = queries.stale_uploads(db, before)
    for upload in stale:
        with node.blobs.lock(upload.id):
            with node.database.read() as db:
                now = db.get(Upload, upload.id)
            if now is not None and now.touched_at < before:
                _delete(node, now)


def _own(node: Node, caller: Principal, upload_id: str) -> Upload:
    with node.database.read() as db:
        upload = queries.own_upload(caller, db, upload_id)
    if upload is None:
        raise ObjectNotFoundError(f"no upload '{upload_id}' of yours")
    return upload


def _write(part: Path, offset: int, chunk: bytes) -> None:
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.truncate(offset)
        file.seek(offset)
        file.write(chunk)
        file.flush()
        os.fsync(file.fileno())


def _fits(part: Path, sha256: str) -> bool:
    with part.open("rb") as file:
        return hmac.compare_digest(digest_of(file), sha256)


def _delete(node: Node, upload: Upload) -> None:
    with node.database.write() as db:
        row = db.get(Upload, upload.id)
        if row is not None:
            db.delete(row)
    node.blobs.part(upload.id).unlink(missing_ok=True)


def _describe(node: Node, upload: Upload) -> UploadOut:
    return UploadOut(
        id=upload.id,
        size_bytes=upload.size_bytes,
        received_bytes=upload.received_bytes,
        chunk_bytes=node.settings.upload_chunk_bytes,
        complete=upload.complete,
    )
