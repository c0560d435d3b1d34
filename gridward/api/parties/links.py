"""Connecting the parties of one joint computation: the lower index dials, the higher accepts."""

import hashlib
from typing import Final

from gridward.api.node import Node
from gridward.api.parties.accept import link_path, meeting_of
from gridward.api.parties.pipe import DialledSocket, Socket, SocketTransport
from gridward.api.parties.records import Record
from gridward.core.errors import ProtocolError
from gridward.core.schemas.deployments import RoleHolder
from gridward.core.smpc.link import HEADER_BYTES, SESSION_BYTES, Link
from gridward.server.signing import sign_request

ABORT_BYTES: Final = 1024


def connect_parties(node: Node, record: Record, session: str, traffic_bytes: int) -> Link:
    """Connect to every other party and return the link.

    ``traffic_bytes`` bounds a peer's frames. Raises ``ProtocolError`` naming a party that cannot be reached
    or does not come.
    """
    sockets: dict[int, Socket] = {}
    limit_bytes = traffic_bytes + HEADER_BYTES + ABORT_BYTES
    meeting = meeting_of(record.id, session)
    try:
        for position, holder in enumerate(record.document.parties):
            if position > record.position:
                sockets[position] = _dial(node, record, holder, session)
        for position in range(record.position):
            sockets[position] = node.room.switchboard.claim(
                meeting, position, node.settings.party_timeout_s, 2 * limit_bytes
            )
    except ProtocolError:
        for socket in sockets.values():
            socket.close()
        raise
    return Link(
        SocketTransport(sockets, limit_bytes),
        record.position,
        len(record.document.parties),
        _session_name(meeting),
        node.settings.party_timeout_s,
    )


def _dial(node: Node, record: Record, holder: RoleHolder, session: str) -> Socket:
    path = link_path(record.id, session)
    token = sign_request(node.keys, holder.node_id, b"", target=f"GET {path}", clock=node.clock)
    try:
        return DialledSocket(
            holder.url.rstrip("/").replace("http", "ws", 1) + path, token, node.settings.party_timeout_s
        )
    except OSError as why:
        raise ProtocolError(f"party {holder.name} cannot be reached at {holder.url}: {why}") from why


def _session_name(meeting: str) -> bytes:
    return hashlib.sha256(meeting.encode()).digest()[:SESSION_BYTES]
