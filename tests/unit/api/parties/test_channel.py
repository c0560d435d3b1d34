import hashlib
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

from gridward.api.lanes import accept
from gridward.api.lanes.accept import lane_path
from gridward.api.lanes.lane import beginning
from gridward.api.main import create_app
from gridward.api.node import Node
from gridward.api.parties import channel, grants, records
from gridward.api.parties.channel import QUERYS_CHANNELS
from gridward.api.parties.grants import Grant, Purpose
from gridward.api.services import parties
from gridward.core.errors import (
    AuthorizationError,
    ConflictError,
    GridError,
    InvalidInputError,
    ObjectNotFoundError,
    ProtocolError,
)
from gridward.core.framing import LENGTH, MESSAGE_BYTES, Frame
from gridward.core.schemas.channel import OVERHEAD_BYTES, Ask, read_reply, write_ask
from gridward.core.schemas.deployments import DeploymentState
from gridward.server import keys
from gridward.server.settings import NodeSettings
from tests.support.cast import NOW, Cast
from tests.unit.api.parties.test_room import query
from tests.unit.api.services.test_deployment_roles import RoleHolderUnderTest

QUERY = "e" * 32
INPUT_BYTES = 16
FLOOD_MESSAGES = 64


class PartyUnderTest(RoleHolderUnderTest):
    """The public node, party 1 of a deployment that is ready, and one query's grant."""

    def ready(self) -> None:
        document = self.document()
        self.deployment_id = document.id
        assert self.propose("parties", document).status_code == 200
        records.set_state(self.node, document.id, DeploymentState.READY, "company")
        self.path = f"/v1/parties/deployments/{document.id}/queries"
        self.token = self.grant(QUERY)

    def grant(self, query_id: str) -> str:
        grant = Grant(self.deployment_id, Purpose.QUERY, "dana@grid", query_id, 1, 0, "A" * 43)
        return grants.sign(grant, self.cast.nodes["company"], self.node.keys.id, NOW)

    def connect(self, token: str) -> WebSocketTestSession:
        return self.http.websocket_connect(self.path, headers={"Authorization": f"Bearer {token}"})


@pytest.fixture
def party(tmp_path: Path) -> Iterator[PartyUnderTest]:
    settings = NodeSettings(data_dir=tmp_path / "node", offer_party=True, party_timeout_s=0.2)
    keys.make(settings.data_dir)
    with TestClient(create_app(settings)) as http:
        party = PartyUnderTest(Cast(tmp_path / "cast"), "public", http)
        party.ready()
        yield party


def refusal(socket: WebSocketTestSession) -> GridError:
    with pytest.raises(GridError) as raised:
        read_reply(socket.receive_bytes()[LENGTH.size :], "public")
    return raised.value


def ask(proof: bytes, masked_bytes: int) -> list[bytes]:
    frame = b"".join(write_ask(Ask(proof, QUERY, bytes(MESSAGE_BYTES - OVERHEAD_BYTES))))
    return [LENGTH.pack(OVERHEAD_BYTES + masked_bytes) + frame]


@pytest.mark.parametrize(
    ("opened", "proof", "error"),
    [
        (True, b"q" * 32, AuthorizationError),
        (False, b"p" * 32, ObjectNotFoundError),
        (True, b"p" * 32, InvalidInputError),  # open, and takes fewer bytes
    ],
)
def test_of_a_frame_that_no_open_query_takes_nothing_is_kept_and_the_channel_serves_on(
    party: PartyUnderTest, opened: bool, proof: bytes, error: type[GridError]
) -> None:
    if opened:
        ours = query(QUERY)
        ours.grant = replace(ours.grant, deployment_id=party.deployment_id)
        party.node.room.open(ours)
    (first,) = ask(proof, FLOOD_MESSAGES * MESSAGE_BYTES - OVERHEAD_BYTES)
    more = bytes(MESSAGE_BYTES)
    with party.connect(party.token) as socket:
        tracemalloc.start()
        try:
            socket.send_bytes(first)
            for _ in range(FLOOD_MESSAGES - 1):
                socket.send_bytes(more)
            assert isinstance(refusal(socket), error)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 16 * MESSAGE_BYTES
        socket.send_bytes(LENGTH.pack(OVERHEAD_BYTES) + b"".join(write_ask(Ask(b"q" * 32, "0" * 32, b""))))
        assert isinstance(refusal(socket), ObjectNotFoundError)


def test_one_input_of_a_query_is_taken_into_memory_at_a_time(party: PartyUnderTest) -> None:
    ours = query(QUERY)
    ours.grant = replace(ours.grant, deployment_id=party.deployment_id)
    party.node.room.open(ours)
    whole = LENGTH.pack(OVERHEAD_BYTES + INPUT_BYTES) + b"".join(
        write_ask(Ask(b"p" * 32, QUERY, bytes(INPUT_BYTES)))
    )
    with party.connect(party.token) as first, party.connect(party.token) as second:
        first.send_bytes(whole[:-1])
        deadline = time.monotonic() + 10
        while not party.node.room._receiving and time.monotonic() < deadline:
            time.sleep(0.01)
        second.send_bytes(whole)
        assert isinstance(refusal(second), ConflictError)


def test_a_query_whose_parties_do_not_meet_lets_go_of_its_packet(party: PartyUnderTest) -> None:
    ours = query(QUERY)
    ours.grant = replace(ours.grant, deployment_id=party.deployment_id)
    ours.session.offline[0] = np.zeros(1, dtype=np.uint64)
    party.node.room.open(ours)
    with pytest.raises(ProtocolError):
        parties.answer(party.node, party.deployment_id, QUERY, b"p" * 32, bytes(INPUT_BYTES))
    assert ours.session.held_bytes == 0


def test_a_frame_that_begins_with_less_than_its_head_is_refused(party: PartyUnderTest) -> None:
    with party.connect(party.token) as socket:
        socket.send_bytes(LENGTH.pack(3) + b"ask")
        assert isinstance(refusal(socket), InvalidInputError)


def test_more_bytes_than_announced_end_the_channel(party: PartyUnderTest) -> None:
    with party.connect(party.token) as socket:
        socket.send_bytes(LENGTH.pack(50) + bytes(60))
        with pytest.raises(WebSocketDisconnect) as ended:
            socket.receive_bytes()
    assert "more than announced" in ended.value.reason


def test_a_querys_grant_opens_a_few_channels_at_once_and_another_grant_others(party: PartyUnderTest) -> None:
    with ExitStack() as held:
        for _ in range(QUERYS_CHANNELS):
            held.enter_context(party.connect(party.token))
        with pytest.raises(WebSocketDisconnect) as refused, party.connect(party.token):
            pass
        assert "connections of this kind" in refused.value.reason
        held.enter_context(party.connect(party.grant("f" * 32)))
    with party.connect(party.token) as socket:
        socket.send_text("no grant")
        assert isinstance(refusal(socket), GridError)


def test_a_caller_and_all_callers_have_so_many_channels(
    party: PartyUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in ("CALLERS_CHANNELS", "CHANNELS"):
        with monkeypatch.context() as patch, ExitStack() as held:
            patch.setattr(channel, limit, 2)
            for number in range(2):
                held.enter_context(party.connect(party.grant(f"{number:032x}")))
            with pytest.raises(WebSocketDisconnect), party.connect(party.grant("f" * 32)):
                pass
        emptied(party)


def test_a_peer_has_so_many_lanes(party: PartyUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accept, "PEERS_LANES", 2)
    path = lane_path(party.deployment_id)

    def dial() -> WebSocketTestSession:
        token = party.signed(party.cast.nodes["hospital"], f"GET {path}")
        return party.http.websocket_connect(path, headers={"Authorization": f"Bearer {token}"})

    with suppress(CancelledError), ExitStack() as held:  # as the test client ends what still receives
        for number in range(2):
            held.enter_context(dial()).send_bytes(beginning(f"{number:032x}"))
        with pytest.raises(WebSocketDisconnect) as refused, dial():
            pass
    assert "connections of this kind" in refused.value.reason
    emptied(party)


def emptied(party: PartyUnderTest) -> None:
    deadline = time.monotonic() + 10
    while len(party.node.room.places) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(party.node.room.places) == 0


def test_an_input_is_hashed_while_it_comes(party: PartyUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = query(QUERY)
    ours.grant = replace(ours.grant, deployment_id=party.deployment_id)
    party.node.room.open(ours)
    seen: list[tuple[bytes, bytes]] = []

    def answer(
        node: Node, deployment_id: str, query_id: str, proof: bytes, masked: Frame, digest: bytes
    ) -> None:
        seen.append((bytes(masked), digest))
        raise ObjectNotFoundError("enough")

    monkeypatch.setattr(parties, "answer", answer)
    given = bytes(range(INPUT_BYTES))
    whole = LENGTH.pack(OVERHEAD_BYTES + INPUT_BYTES) + b"".join(write_ask(Ask(b"p" * 32, QUERY, given)))
    with party.connect(party.token) as socket:
        for cut in (len(whole), len(whole) - 3, LENGTH.size + OVERHEAD_BYTES):
            socket.send_bytes(whole[:cut])
            if cut < len(whole):
                socket.send_bytes(whole[cut:])
            assert isinstance(refusal(socket), ObjectNotFoundError)
    assert seen == [(given, hashlib.sha256(given).digest())] * 3
