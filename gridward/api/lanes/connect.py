"""Connecting the parties of one joint computation: the lower index dials, the higher accepts.

Two nodes that both offer a direct port meet there over TLS; all others meet over a WebSocket on the accepting
node's one port. Lanes outlive a session: the next one of the same deployment begins on them at once.
"""

import hashlib
import logging
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from httpx2 import URL
from pydantic import ValidationError

from gridward.api.lanes import tls
from gridward.api.lanes.accept import lane_path
from gridward.api.lanes.idle import Keeper, Peer
from gridward.api.lanes.lane import DialledLane, Lane, LaneKind, LaneTransport
from gridward.api.lanes.listener import WELCOME, hello
from gridward.api.lanes.stream import TlsStream
from gridward.api.lanes.websocket import DialledWebSocket
from gridward.api.node import Node
from gridward.api.parties import calls
from gridward.api.parties.roles import Record
from gridward.core.errors import GridError, ProtocolError
from gridward.core.identity import read_sign_key
from gridward.core.schemas.deployments import LaneOut, RoleHolder
from gridward.core.smpc.link import HEADER_BYTES, SESSION_BYTES, Link
from gridward.server.signing import sign_request

ABORT_BYTES: Final = 1024
DIRECT_S: Final = 3.0
"""A direct port that does not answer by then is behind a firewall: the WebSocket serves."""
_log: Final = logging.getLogger("gridward.lanes")


@dataclass(frozen=True, slots=True)
class Connected:
    """A link to all other parties, and how this node reached those that it dialled."""

    link: Link
    kinds: Mapping[int, LaneKind]


def connect_parties(node: Node, record: Record, session: str, traffic_bytes: int) -> Connected:
    """Connect to every other party for one session, a name of 32 hexadecimal digits never used twice.

    ``traffic_bytes`` bounds a peer's frames. Raises ``ProtocolError`` naming a party that cannot be reached
    or does not come.
    """
    lanes: dict[int, Lane] = {}
    kinds: dict[int, LaneKind] = {}
    meeting = record.id, session
    try:
        for position, holder in enumerate(record.document.parties):
            if position > record.position:
                lane = _begin(node, record, position, holder, session)
                lanes[position], kinds[position] = lane, lane.kind
        for position in range(record.position):
            lanes[position] = node.room.switchboard.claim(meeting, position, node.settings.party_timeout_s)
    except BaseException:
        for opened in lanes.values():
            opened.close()
        raise
    direct = [lane for lane in lanes.values() if isinstance(lane, tls.TlsLane)]
    for lane in direct:
        lane.accompany(direct)
    link = Link(
        LaneTransport(lanes, traffic_bytes + HEADER_BYTES + ABORT_BYTES),
        record.position,
        len(record.document.parties),
        hashlib.sha256(f"{record.id}/{session}".encode()).digest()[:SESSION_BYTES],
        node.settings.party_timeout_s,
    )
    return Connected(link, kinds)


def _begin(node: Node, record: Record, position: int, holder: RoleHolder, session: str) -> DialledLane:
    """Begin a session on an idle lane, or on a new one where there is none or the peer was restarted."""
    peer = Peer(record.id, position)
    lane = node.room.lanes.take(peer)
    try:
        if lane is not None:
            lane.begin(session)
            return lane
    except OSError:
        _log.info("%s left an idle connection", holder.name)
        if lane is not None:
            lane.close()
    try:
        lane = _dial(node, record, peer, holder)
        lane.begin(session)
    except OSError as why:
        raise ProtocolError(f"party {holder.name} cannot be reached at {holder.url}: {why}") from why
    return lane


def _dial(node: Node, record: Record, peer: Peer, holder: RoleHolder) -> DialledLane:
    keeper = Keeper(node.room.lanes, peer)
    port = _direct_port(node, record, peer, holder)
    if port is not None:
        try:
            return dial_direct(holder, port, hello(record.id, _signed(node, record, holder)), keeper)
        except OSError as why:
            _log.warning("%s cannot be reached at its direct port %d: %s", holder.name, port, why)
            node.room.lanes.note_port(peer, None)
    url = holder.url.rstrip("/").replace("http", "ws", 1) + lane_path(record.id)
    return DialledWebSocket(url, _signed(node, record, holder), node.settings.party_timeout_s, keeper)


def _signed(node: Node, record: Record, holder: RoleHolder) -> str:
    target = f"GET {lane_path(record.id)}"
    return sign_request(node.keys, holder.node_id, b"", target=target, clock=node.clock)


def _direct_port(node: Node, record: Record, peer: Peer, holder: RoleHolder) -> int | None:
    """Ask a peer for its direct port, if this node offers one too."""
    if node.room.listener is None:
        return None
    port, known = node.room.lanes.port(peer)
    if known:
        return port
    try:
        answer = node.calls.send(
            calls.Peer(holder.node_id, holder.name, holder.url),
            "POST",
            lane_path(record.id),
            timeout_s=node.settings.peer_timeout_s,
        )
        port = LaneOut.model_validate_json(answer).port
    except (GridError, ValidationError) as why:
        _log.warning("%s does not say whether it has a direct port: %s", holder.name, why)
        port = None
    node.room.lanes.note_port(peer, port)
    return port


def dial_direct(holder: RoleHolder, port: int, said: bytes, keeper: tls.Keeper) -> tls.TlsLane:
    """Dial a direct port; raises ``ProtocolError`` where another key answers, ``OSError`` where none does."""
    raw = socket.create_connection((URL(holder.url).host, port), timeout=DIRECT_S)
    try:
        tls.keep_alive(raw)
        stream = TlsStream(raw, tls.client_context(), DIRECT_S, server=False)
        tls.require_key(stream.certificate, read_sign_key(holder.sign_key), holder.name)
        lane = tls.TlsLane(stream, keeper)
        lane.send(said)
        if lane.receive(time.monotonic() + DIRECT_S, len(WELCOME)) != WELCOME:
            raise OSError("it did not say welcome")
    except BaseException:
        raw.close()
        raise
    return lane
