"""The accepting side of a link between parties: authenticates the peer, then carries frames both ways."""

import asyncio
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocket, WebSocketDisconnect

from gridward.api.node import Node
from gridward.api.parties import records
from gridward.api.parties.pipe import AcceptedSocket
from gridward.api.parties.records import Role
from gridward.api.parties.room import PLACE_S
from gridward.core.errors import AuthorizationError, GridError

POLICY_VIOLATION: Final = 1008
REASON_BYTES: Final = 120


def link_path(deployment_id: str, session: str) -> str:
    """Where a party dials for a session; also what its signature is bound to."""
    return f"/v1/parties/deployments/{deployment_id}/links/{session}"


def meeting_of(deployment_id: str, session: str) -> str:
    """Name a session among those of all deployments: a party of one cannot pose as a party of another."""
    return f"{deployment_id}/{session}"


async def accept_link(socket: WebSocket, deployment_id: str, session: str) -> None:
    """Serve one link until either side ends it."""
    node: Node = socket.app.state.server
    meeting = meeting_of(deployment_id, session)
    token = socket.headers.get("authorization", "").removeprefix("Bearer ")
    try:
        peer = await run_in_threadpool(_authenticate, node, token, deployment_id, session)
        ours = AcceptedSocket(asyncio.get_running_loop(), asyncio.Queue())
        node.room.switchboard.offer(meeting, peer, ours)
    except GridError as why:
        await socket.close(POLICY_VIOLATION, why.detail[:REASON_BYTES])
        return
    try:
        await socket.accept()
        await carry(socket, ours, PLACE_S + node.settings.party_timeout_s)
    finally:
        node.room.switchboard.withdraw(meeting, peer, ours)
        ours.lost()


def _authenticate(node: Node, token: str, deployment_id: str, session: str) -> int:
    """Say which party dials. Only parties with a lower index dial this one."""
    record = records.find(node, deployment_id, Role.PARTY)
    target = f"GET {link_path(deployment_id, session)}"
    signer = records.verify_signer(node, token, b"", target, *record.document.parties)
    position = record.document.parties.index(signer)
    if position >= record.position:
        raise AuthorizationError("the party with the lower index dials")
    return position


async def carry(socket: WebSocket, ours: AcceptedSocket, unclaimed_s: float) -> None:
    """Move messages both ways; ends when the peer leaves or everything queued before a close is sent.

    It ends, too, where nobody claims the socket within ``unclaimed_s``, or the peer sends more than its due.
    """
    work = (_receive(socket, ours), _send(socket, ours), _expire(ours, unclaimed_s))
    tasks = [asyncio.create_task(part) for part in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _receive(socket: WebSocket, ours: AcceptedSocket) -> None:
    try:
        while True:
            if not await ours.keep(await socket.receive_bytes()):
                return
    except (WebSocketDisconnect, KeyError):
        return


async def _expire(ours: AcceptedSocket, unclaimed_s: float) -> None:
    await asyncio.sleep(unclaimed_s)
    if ours.limit_bytes is not None:
        await asyncio.Event().wait()  # claimed: its session ends it


async def _send(socket: WebSocket, ours: AcceptedSocket) -> None:
    while (message := await ours.outbox.get()) is not None:
        await socket.send_bytes(message)
    await socket.close()
