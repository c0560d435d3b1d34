"""The accepting side of WebSocket lanes: authenticates the peer, then carries its sessions both ways."""

import asyncio
from collections.abc import Hashable
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocket, WebSocketDisconnect

from gridward.api.lanes.lane import session_of
from gridward.api.lanes.listener import LANES, PEERS_LANES
from gridward.api.lanes.switchboard import Switchboard
from gridward.api.lanes.websocket import PAUSE_S, AcceptedSession, Outbox
from gridward.api.node import Node
from gridward.api.parties import records
from gridward.api.parties.roles import Role
from gridward.core.errors import AuthorizationError, BusyError, GridError
from gridward.core.framing import LENGTH, LONGEST_MESSAGE_BYTES

POLICY_VIOLATION: Final = 1008
REASON_BYTES: Final = 120


def lane_path(deployment_id: str) -> str:
    """Where a party dials; also what its signature is bound to."""
    return f"/v1/parties/deployments/{deployment_id}/lane"


def authenticate(node: Node, deployment_id: str, token: str) -> int:
    """Say which party dials. Only parties with a lower index dial this one."""
    record = records.find(node, deployment_id, Role.PARTY)
    target = f"GET {lane_path(deployment_id)}"
    signer = records.verify_signer(node, token, b"", target, *record.document.parties)
    position = record.document.parties.index(signer)
    if position >= record.position:
        raise AuthorizationError("the party with the lower index dials")
    return position


async def accept_lane(socket: WebSocket, deployment_id: str) -> None:
    """Serve one lane until either side ends it."""
    node: Node = socket.app.state.server
    token = socket.headers.get("authorization", "").removeprefix("Bearer ")
    try:
        peer = await run_in_threadpool(authenticate, node, deployment_id, token)
    except GridError as why:
        await socket.close(POLICY_VIOLATION, why.detail[:REASON_BYTES])
        return
    limits: dict[Hashable, int] = {("lanes", deployment_id, peer): PEERS_LANES, "lanes": LANES}
    try:
        with node.room.places.hold(limits):
            await socket.accept()
            board = node.room.switchboard
            await AcceptedSocket(socket, board, deployment_id, peer, node.settings.party_timeout_s).carry()
    except BusyError as why:
        await socket.close(POLICY_VIOLATION, why.detail[:REASON_BYTES])


class AcceptedSocket:
    """One accepted WebSocket and the session that it serves at the moment."""

    def __init__(
        self, socket: WebSocket, board: Switchboard, deployment_id: str, peer: int, unclaimed_s: float
    ) -> None:
        self._socket = socket
        self._board = board
        self._deployment_id = deployment_id
        self._peer = peer
        self._unclaimed_s = unclaimed_s
        self._loop = asyncio.get_running_loop()
        self._outbox = Outbox()
        self._session: AcceptedSession | None = None
        self._meeting = (deployment_id, "")

    async def carry(self) -> None:
        """Move messages both ways.

        Ends when the peer leaves, and after a close when all is sent or the peer did not read it in time.
        """
        parts = self._receive(), self._send(), self._outbox.overdue()
        tasks = [asyncio.create_task(part) for part in parts]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._session is not None:
                self._board.withdraw(self._meeting, self._peer, self._session)
                self._session.lost()

    async def _receive(self) -> None:
        left = 0  # bytes of the current frame that are still to come
        try:
            while True:
                message = await self._socket.receive_bytes()
                if left == 0 and (name := session_of(message)) is not None:
                    await self._turn()
                    self._begin(name)
                    continue
                if left == 0:
                    left = _announced(message)
                left -= len(message)
                if self._session is None or left < 0 or len(message) > LONGEST_MESSAGE_BYTES:
                    return
                await self._session.keep(message)
        except (WebSocketDisconnect, KeyError, GridError):
            return

    async def _turn(self) -> None:
        """Wait until the last session is over and sent: a peer may begin them fast, and read nothing."""
        while self._session is not None and not (self._session.over.is_set() and self._outbox.empty):
            await asyncio.sleep(PAUSE_S)

    def _begin(self, name: str) -> None:
        session = AcceptedSession(self._loop, self._outbox)
        self._session, self._meeting = session, (self._deployment_id, name)
        self._board.offer(self._meeting, self._peer, session)
        self._loop.call_later(self._unclaimed_s, self._expire, self._meeting, session)

    def _expire(self, meeting: tuple[str, str], session: AcceptedSession) -> None:
        if self._board.withdraw(meeting, self._peer, session):
            session.close()

    async def _send(self) -> None:
        while (message := await self._outbox.get()) is not None:
            await self._socket.send_bytes(message)
        await self._socket.close()


def _announced(message: bytes) -> int:
    """Give the bytes of a frame that this message begins, its length included; -1 where it begins none."""
    return LENGTH.size + LENGTH.unpack_from(message)[0] if len(message) >= LENGTH.size else -1
