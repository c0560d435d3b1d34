"""Send content to a node in chunks, with its hash; a broken connection resumes where the node stands."""

from collections.abc import Callable
from typing import Final

from gridward.client.payload import Payload
from gridward.client.progress import bar
from gridward.client.transport import Transport
from gridward.core.errors import NodeUnreachableError
from gridward.core.schemas.uploads import UploadIn, UploadOut

_STALLS: Final = 3
_LONG_BYTES: Final = 8 << 20
_CALL_S: Final = 30.0
_CHUNK_S: Final = 120.0


def upload(node: Transport, payload: Payload, what: str, limit: Callable[[float], float] = float) -> str:
    """Send the payload and give the upload's id.

    ``limit`` gives the seconds that a call may take, up to those it is asked for; what it raises ends all.

    Gives up with ``NodeUnreachableError`` after three broken chunks in a row. What arrived stays on the node
    for a while, so the same call resumes.
    """
    announcement = UploadIn(
        size_bytes=payload.size_bytes, sha256=payload.sha256, media_type=payload.media_type
    )
    state = node.fetch(UploadOut, "POST", "/v1/uploads", body=announcement, timeout_s=limit(_CALL_S))
    stalls = 0
    shown = None if payload.size_bytes >= _LONG_BYTES else False
    with bar(f"Sending {what}", payload.size_bytes, in_bytes=True, shown=shown) as advance:
        while not state.complete:
            before, timeout_s = state.received_bytes, limit(_CHUNK_S)
            try:
                state = _send_chunk(node, payload, state, timeout_s)
            except NodeUnreachableError:
                stalls += 1
                if stalls == _STALLS:
                    raise
                state = node.fetch(UploadOut, "GET", f"/v1/uploads/{state.id}", timeout_s=limit(_CALL_S))
            if state.received_bytes > before:
                stalls = 0
            advance(state.received_bytes, "")
    return state.id


def _send_chunk(node: Transport, payload: Payload, state: UploadOut, timeout_s: float) -> UploadOut:
    chunk = payload.read(state.received_bytes, state.chunk_bytes)
    if not chunk:
        raise NodeUnreachableError(f"{node.label} holds all bytes but does not finish the upload")
    return node.fetch(
        UploadOut,
        "PATCH",
        f"/v1/uploads/{state.id}",
        content=chunk,
        headers={"upload-offset": str(state.received_bytes), "content-type": "application/octet-stream"},
        timeout_s=timeout_s,
    )
