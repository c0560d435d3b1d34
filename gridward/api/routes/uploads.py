"""Routes of uploads."""

from typing import Annotated

from fastapi import APIRouter, Body, Header, Path

from gridward.api.node import NodeOf
from gridward.api.services import uploads
from gridward.core.schemas.uploads import UploadContent, UploadIn, UploadOut
from gridward.server.state import Caller

router = APIRouter(prefix="/v1/uploads", tags=["uploads"])

UploadId = Annotated[str, Path(max_length=64)]


@router.post("", status_code=201)
def create_upload(body: UploadIn, caller: Caller, node: NodeOf) -> UploadOut:
    """Announce an upload: its size, hash and format."""
    return uploads.create(node, caller, body)


@router.get("/{upload_id}")
def get_upload(upload_id: UploadId, caller: Caller, node: NodeOf) -> UploadOut:
    """Say where an upload stands."""
    return uploads.get(node, caller, upload_id)


@router.patch("/{upload_id}")
def append_to_upload(
    upload_id: UploadId,
    chunk: Annotated[bytes, Body(media_type="application/octet-stream")],
    upload_offset: Annotated[int, Header(ge=0, le=2**44, description="Where the chunk starts, bytes.")],
    caller: Caller,
    node: NodeOf,
) -> UploadOut:
    """Send the next chunk."""
    return uploads.append(node, caller, upload_id, upload_offset, chunk)


@router.get("/{upload_id}/content")
def describe_upload(upload_id: UploadId, caller: Caller, node: NodeOf) -> UploadContent:
    """Say what columns a complete upload holds, and what each would be stored as; never values."""
    return uploads.describe(node, caller, upload_id)


@router.delete("/{upload_id}", status_code=204)
def delete_upload(upload_id: UploadId, caller: Caller, node: NodeOf) -> None:
    """Give up an upload."""
    uploads.delete(node, caller, upload_id)
