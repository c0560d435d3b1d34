"""A client's channel to a party: queries opened and answered over one WebSocket, one step after another."""

import asyncio
import time
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocket, WebSocketDisconnect

from gridward.api.node import Node
from gridward.api.services import parties
from gridward.core.errors import GridError, InvalidInputError
from gridward.core.framing import LENGTH, announced, pieces
from gridward.core.schemas.channel import OVERHEAD_BYTES, Reply, read_ask, write_reply

POLICY_VIOLATION: Final = 1008
REASON_BYTES: Final = 120
IDLE_S: Final = 600.0
FRAME_S: Final = 60.0
GRANT_BYTES: Final = 4096


async def serve_channel(socket: WebSocket, deployment_id: str) -> None:
    """Serve one client until it leaves, is silent for long, or says what no client says."""
    node: Node = socket.app.state.server
    token = socket.headers.get("authorization", "").removeprefix("Bearer ")
    try:
        await run_in_threadpool(parties.check_query_grant, node, token, deployment_id)
    except GridError as why:
        await socket.close(POLICY_VIOLATION, why.detail[:REASON_BYTES])
        return
    await socket.accept()
    try:
        while True:
            reply = await _step(node, socket, deployment_id)
            for piece in pieces(write_reply(reply)):
                await socket.send_bytes(piece)
    except (WebSocketDisconnect, TimeoutError):
        return
    except OSError as why:
        await socket.close(POLICY_VIOLATION, str(why)[:REASON_BYTES])


async def _step(node: Node, socket: WebSocket, deployment_id: str) -> Reply | GridError:
    message = await asyncio.wait_for(socket.receive(), IDLE_S)
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect
    grant = message.get("text")
    frame = b"" if grant is not None else await _frame(node, socket, message.get("bytes") or b"")
    try:
        if grant is None:
            ask = read_ask(frame)
            return await run_in_threadpool(
                parties.answer, node, deployment_id, ask.query_id, ask.proof, ask.masked
            )
        if len(grant) > GRANT_BYTES:
            raise InvalidInputError("this is no grant")
        return await run_in_threadpool(parties.open_query, node, grant, deployment_id)
    except GridError as why:
        return why


async def _frame(node: Node, socket: WebSocket, first: bytes) -> bytes:
    """Join the messages of one frame."""
    length = announced(first, node.settings.body_max_bytes + OVERHEAD_BYTES)
    frame = bytearray(memoryview(first)[LENGTH.size :])
    deadline = time.monotonic() + FRAME_S
    while len(frame) < length:
        frame += await asyncio.wait_for(socket.receive_bytes(), max(deadline - time.monotonic(), 0.0))
    if len(frame) > length:
        raise OSError(f"sent {len(frame)} bytes in a frame of {length}")
    return bytes(frame)
