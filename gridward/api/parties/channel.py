"""A client's channel to a party: queries opened and answered over one WebSocket, one step after another."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Hashable
from contextlib import ExitStack
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocket, WebSocketDisconnect

from gridward.api.node import Node
from gridward.api.services import parties
from gridward.core.errors import GridError, InvalidInputError
from gridward.core.framing import LENGTH, Incoming, announced, pieces
from gridward.core.schemas.channel import OVERHEAD_BYTES, Ask, Reply, read_ask, write_reply

POLICY_VIOLATION: Final = 1008
REASON_BYTES: Final = 120
IDLE_S: Final = 600.0
FRAME_S: Final = 60.0
SLOWEST_BYTES_PER_S: Final = 2**20
"""A frame has so long to come, and a second for each of these bytes."""
GRANT_BYTES: Final = 4096
QUERYS_CHANNELS: Final = 4
"""Opened with the grant of one query: a client needs one, and another where it fails."""
CALLERS_CHANNELS: Final = 64
CHANNELS: Final = 512


async def serve_channel(socket: WebSocket, deployment_id: str) -> None:
    """Serve one client until it leaves, is silent for long, or says what no client says."""
    node: Node = socket.app.state.server
    token = socket.headers.get("authorization", "").removeprefix("Bearer ")
    try:
        grant = await run_in_threadpool(parties.check_query_grant, node, token, deployment_id)
        limits: dict[Hashable, int] = {
            ("channels of a query", grant.query_id): QUERYS_CHANNELS,
            ("channels of a caller", deployment_id, grant.caller): CALLERS_CHANNELS,
            "channels": CHANNELS,
        }
        with node.room.places.hold(limits):
            await socket.accept()
            await _serve(node, socket, deployment_id)
    except GridError as why:
        await socket.close(POLICY_VIOLATION, why.detail[:REASON_BYTES])


async def _serve(node: Node, socket: WebSocket, deployment_id: str) -> None:
    try:
        while True:
            reply = await _step(node, socket, deployment_id)
            for piece in pieces(*write_reply(reply)):
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
    try:
        if grant is None:
            ask, digest = await _asked(node, socket, deployment_id, message.get("bytes") or b"")
            return await run_in_threadpool(
                parties.answer, node, deployment_id, ask.query_id, ask.proof, ask.masked, digest
            )
        if len(grant) > GRANT_BYTES:
            raise InvalidInputError("this is no grant")
        return await run_in_threadpool(parties.open_query, node, grant, deployment_id)
    except GridError as why:
        return why


async def _asked(node: Node, socket: WebSocket, deployment_id: str, first: bytes) -> tuple[Ask, bytes]:
    """Join the messages of one frame; they are read, but not kept, unless it is of an open query.

    Gives the SHA-256 of the input, too: it is made while the next message is on its way.
    """
    length = announced(first, node.settings.body_max_bytes + OVERHEAD_BYTES)
    begun = memoryview(first)[LENGTH.size :]
    with ExitStack() as held:
        try:
            ask = read_ask(begun[:OVERHEAD_BYTES])
            masked_bytes = length - OVERHEAD_BYTES
            held.enter_context(parties.receiving(node, deployment_id, ask.query_id, ask.proof, masked_bytes))
        except GridError:
            async for _ in _rest(socket, length - len(begun)):
                continue
            raise
        frame, digest = Incoming(length, begun), hashlib.sha256(begun[OVERHEAD_BYTES:])
        async for message in _rest(socket, frame.left):
            frame.add(message)
            digest.update(message)
    return read_ask(frame.content), digest.digest()


async def _rest(socket: WebSocket, left: int) -> AsyncIterator[bytes]:
    """Give the messages that complete a frame of which so many bytes are left."""
    deadline = time.monotonic() + FRAME_S + left / SLOWEST_BYTES_PER_S
    while left > 0:
        received = await asyncio.wait_for(socket.receive(), max(deadline - time.monotonic(), 0.0))
        if received["type"] == "websocket.disconnect":
            raise WebSocketDisconnect
        message = received.get("bytes") or b""
        if not message:
            raise OSError("sent something else within a frame")
        left -= len(message)
        yield message
    if left < 0:
        raise OSError(f"sent {-left} bytes more than announced")
