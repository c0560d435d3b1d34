"""From a complete upload to the files of a dataset's values."""

from pathlib import Path

from sqlmodel import Session

from gridward.api import queries
from gridward.api.formats.columns import Choice
from gridward.api.formats.read import Limits, convert
from gridward.api.formats.tensor_file import Spec
from gridward.api.node import Node
from gridward.api.tables.datasets import Upload
from gridward.core.errors import ConflictError, ObjectNotFoundError
from gridward.core.schemas.uploads import MediaType
from gridward.server.principals import Principal


def usable_upload(caller: Principal, db: Session, upload_id: str) -> Upload:
    """Return a complete upload of the caller's, or refuse."""
    upload = queries.own_upload(caller, db, upload_id)
    if upload is None:
        raise ObjectNotFoundError(f"no upload '{upload_id}' of yours")
    if not upload.complete:
        raise ConflictError(f"the upload stands at {upload.received_bytes} of {upload.size_bytes} bytes")
    return upload


def convert_upload(
    node: Node, upload: Upload, columns: list[str] | None, choice: Choice, values: Path, entities: Path
) -> dict[str, Spec]:
    """Write the chosen values and entities of an upload to two files; returns what was stored."""
    return convert(
        node.blobs.part(upload.id),
        MediaType(upload.media_type),
        values,
        entities,
        columns=columns,
        choice=choice,
        entity_secret=node.keys.entity_secret,
        limits=limits(node),
    )


def limits(node: Node) -> Limits:
    """Return what a dataset may be at most on this node."""
    return Limits(node.settings.dataset_max_tensors, node.settings.upload_max_bytes)
