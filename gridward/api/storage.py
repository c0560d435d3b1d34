"""Which blobs are needed by what, and whose quota pays for them."""

from pathlib import Path

from sqlmodel import Session, col, delete, select

from gridward.api import queries
from gridward.api.node import Node
from gridward.api.tables.datasets import BlobUse, Dataset, Upload
from gridward.core.errors import ConflictError, TooLargeError
from gridward.server.blobs import Seal
from gridward.server.db import lock


def keep(node: Node, db: Session, seal: Seal, *, used_by: str, user_id: str) -> None:
    """Make a sealed file a blob that `used_by` needs, within the transaction that makes `used_by`.

    Raises `TooLargeError` beyond the quotas. The blob is on disk before its row is; a crash between leaves a
    blob without a row, which the sweep at start removes.
    """
    lock(db, "blobs")
    require_room(node, db, user_id, seal.size_bytes)
    db.add(BlobUse(used_by=used_by, sha256=seal.sha256, user_id=user_id, size_bytes=seal.size_bytes))
    db.flush()
    node.blobs.place(seal)


def drop(db: Session, used_by: str) -> list[str]:
    """Say, within the transaction that deletes `used_by`, that it needs no blobs any more; returns them.

    Pass them to `collect` after the commit.
    """
    rows = db.exec(select(BlobUse).where(col(BlobUse.used_by) == used_by)).all()
    db.exec(delete(BlobUse).where(col(BlobUse.used_by) == used_by))
    return [row.sha256 for row in rows]


def collect(node: Node, digests: list[str]) -> None:
    """Delete those blobs that nothing needs any more."""
    with node.database.write() as db:
        lock(db, "blobs")
        for digest in digests:
            if db.exec(select(BlobUse).where(col(BlobUse.sha256) == digest)).first() is None:
                node.blobs.remove(digest)


def require_room(node: Node, db: Session, user_id: str, size_bytes: int) -> None:
    """Raise `TooLargeError` if so many more bytes break the user's or the node's quota."""
    if queries.stored_bytes(db, user_id) + size_bytes > node.settings.upload_quota_bytes:
        raise TooLargeError("your quota on this node is used up; delete something or ask its owner")
    if queries.stored_bytes(db, None) + size_bytes > node.settings.upload_total_bytes:
        raise TooLargeError("this node's storage is used up; ask its owner")


def use_up(db: Session, upload_id: str) -> None:
    """Take an upload within a transaction; unlink its file after the commit. Raises ``ConflictError``."""
    upload = db.get(Upload, upload_id)
    if upload is None:
        raise ConflictError(f"upload '{upload_id}' was used or deleted meanwhile; send it again")
    db.delete(upload)


def sweep(node: Node) -> int:
    """Remove what a crash left behind: blobs and arriving files without a row. Before serving only."""
    with node.database.write() as db:
        lock(db, "blobs")
        return node.blobs.sweep(queries.blobs_in_use(db), queries.upload_ids(db))


def tensors_path(node: Node, dataset: Dataset) -> Path:
    """Return the safetensors file of a dataset's tensors; map it, never write to it."""
    return node.blobs.path(dataset.blob)


def entity_path(node: Node, dataset: Dataset) -> Path | None:
    """Return the safetensors file of the entity ids (`entity`: uint8 [rows, 16]), if there is one."""
    return node.blobs.path(dataset.entity_blob) if dataset.entity_blob else None
