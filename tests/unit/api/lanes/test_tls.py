import select
import selectors
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from gridward.api.lanes import listener as listening
from gridward.api.lanes import tls
from gridward.api.lanes.connect import dial_direct
from gridward.api.lanes.idle import IdleLanes, Peer
from gridward.api.lanes.lane import DialledLane, Lane, LaneTransport
from gridward.api.lanes.listener import HELLO_S, STRANGERS, LaneListener, hello
from gridward.api.lanes.stream import RECORD_BYTES, TlsStream
from gridward.api.lanes.switchboard import Switchboard
from gridward.api.lanes.tls import TlsLane, client_context, server_context
from gridward.core.errors import AuthorizationError, ProtocolError
from gridward.core.schemas.deployments import RoleHolder
from gridward.core.smpc.link import Transport
from gridward.server import keys
from gridward.server.keys import Keys
from tests.unit.api.lanes.lane_contract import DEPLOYMENT, LaneContract

TOKEN = "signed"


class Keeping(list[DialledLane]):
    def keep(self, lane: DialledLane) -> None:
        self.append(lane)

    def lose(self, lane: DialledLane) -> None:
        pass


def authenticate(deployment_id: str, token: str) -> int:
    if (deployment_id, token) != (DEPLOYMENT, TOKEN):
        raise AuthorizationError("this is nobody")
    return 0


def keys_in(folder: Path) -> Keys:
    keys.make(folder)
    return keys.load(folder)


def holder_with(node: Keys) -> RoleHolder:
    return RoleHolder(
        node_id=node.id,
        name="public",
        url="http://127.0.0.1:1",
        owner="polly",
        sign_key=node.sign_key_text,
        seal_key=node.seal_key_text,
        attestation="word",
    )


def say_goodbye(stream: TlsStream) -> None:
    """End TLS with a close_notify; the socket stays open."""
    with suppress(ssl.SSLWantReadError):  # which would await the other end's
        stream._tls.unwrap()
    stream._raw.sendall(stream._outgoing.read())


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return keys_in(tmp_path_factory.mktemp("node"))


@pytest.fixture(scope="module")
def listener(node: Keys, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LaneListener]:
    context = server_context(node.sign_key, tmp_path_factory.mktemp("pem"), datetime.now(UTC))
    accepting = socket.create_server(("127.0.0.1", 0))
    running = LaneListener(accepting, context, authenticate, Switchboard(), unclaimed_s=1.0)
    running.start()
    yield running
    running.stop()


class TestTlsLane(LaneContract):
    flush_at = tls

    @pytest.fixture(autouse=True)
    def _served(self, listener: LaneListener, node: Keys) -> None:
        self.listener = listener
        self.node = node
        self.board = listener.switchboard
        self.keeping = Keeping()

    def dial(self) -> TlsLane:
        return dial_direct(holder_with(self.node), self.listener.port, hello(DEPLOYMENT, TOKEN), self.keeping)

    def meet(self, dialled: DialledLane) -> TlsLane:
        accepted = super().meet(dialled)
        assert isinstance(accepted, TlsLane)
        return accepted

    def accompany(self, lanes: list[Lane]) -> None:
        direct = [lane for lane in lanes if isinstance(lane, TlsLane)]
        for lane in direct:
            lane.accompany(direct)

    def kept(self) -> Sequence[DialledLane]:
        return self.keeping

    def send_changed(self, transport: Transport, peer: int, frame: bytes) -> None:
        assert transport.authentic(peer)
        assert isinstance(transport, LaneTransport)
        lane = transport.lanes[peer]
        assert isinstance(lane, TlsLane)
        stream = lane._stream
        stream.queue(len(frame).to_bytes(8, "little") + frame)
        assert stream._seal()
        sealed = bytearray(stream._sealed)
        sealed[-20] ^= 1
        stream._sealed = memoryview(sealed)
        stream.push()

    def test_a_short_frame_is_one_record_and_parts_are_joined_at_the_other_end(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        dialled = self.dial()
        accepted = self.meet(dialled)
        sent: list[bytes] = []
        raw = dialled._stream._raw

        class Listening:
            def send(self, data: memoryview) -> int:
                sent.append(bytes(data))
                return raw.send(data)

            def __getattr__(self, name: str) -> object:
                return getattr(raw, name)

        monkeypatch.setattr(dialled._stream, "_raw", Listening())
        dialled.send(b"head", b"", bytes(1000))
        assert accepted.receive(time.monotonic() + 5, 2000) == b"head" + bytes(1000)
        assert [int.from_bytes(one[3:5], "big") + 5 - len(one) for one in sent] == [0]
        long = [bytes([at]) * 30_000 for at in range(3)]
        dialled.send(*long)
        assert accepted.receive(time.monotonic() + 5, 1 << 20) == b"".join(long)
        accepted.close()
        dialled.close()

    def test_the_lanes_of_a_deployment_that_ended_are_closed(self) -> None:
        dialled = self.dial()
        self.listener.forget("another deployment")
        time.sleep(0.1)
        assert dialled.alive
        self.listener.forget(DEPLOYMENT)
        with pytest.raises(OSError, match="closed"):
            dialled.receive(time.monotonic() + 5, 99)
        dialled.close()

    def test_one_peer_has_so_many_lanes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        first = self.dial()
        self.meet(first).release()
        held = sum(peer is not None for peer in self.listener._peers.values())
        monkeypatch.setattr(listening, "PEERS_LANES", held)
        more = self.dial()
        with pytest.raises(OSError, match=r"closed|reset|EOF"):
            more.receive(time.monotonic() + 5, 99)
        assert first.alive
        first.close()
        more.close()

    def test_the_system_finds_out_that_a_silent_peer_of_either_end_is_gone(self) -> None:
        dialled = self.dial()
        accepted = self.meet(dialled)
        for lane in (dialled, accepted):
            assert lane._stream._raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert lane._stream._raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
            if hasattr(socket, "TCP_KEEPIDLE"):
                assert lane._stream._raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) <= 60
        accepted.close()
        dialled.close()

    @pytest.mark.parametrize("count", [8, 2 * RECORD_BYTES])
    def test_a_peer_that_ends_tls_and_not_the_connection_is_gone(self, count: int) -> None:
        dialled = self.dial()
        say_goodbye(self.meet(dialled)._stream)
        with pytest.raises(OSError, match="closed"):
            dialled.take(count, time.monotonic() + 5)
        dialled.close()

    def test_a_lane_whose_peer_ended_tls_is_given_out_to_nobody(self) -> None:
        dialled, idle, peer = self.dial(), IdleLanes(), Peer(DEPLOYMENT, 1)
        accepted = self.meet(dialled)
        say_goodbye(accepted._stream)
        idle.put(peer, dialled)
        assert select.select([dialled.descriptor], [], [], 5)[0]
        assert idle.take(peer) is None
        accepted.close()

    def test_an_idle_lane_whose_peer_ends_tls_is_closed(self) -> None:
        dialled = self.dial()
        say_goodbye(dialled._stream)
        with pytest.raises(OSError, match="closed"):
            dialled.receive(time.monotonic() + 5, 99)
        dialled.close()

    def test_bytes_that_begin_no_session_end_the_connection(self) -> None:
        dialled = self.dial()
        dialled.send(bytes(64))
        with pytest.raises(OSError, match=r"closed|reset|EOF"):
            dialled.receive(time.monotonic() + 5, 99)
        dialled.close()


def test_who_answers_with_another_key_than_the_attested_one_gets_no_hello(
    listener: LaneListener, tmp_path: Path
) -> None:
    other = holder_with(keys_in(tmp_path / "other"))
    with pytest.raises(ProtocolError, match="another key than the gateway attests"):
        dial_direct(other, listener.port, hello(DEPLOYMENT, TOKEN), Keeping())


VERSION_3, VERSION_9 = bytes.fromhex("a003020102"), bytes.fromhex("a003020109")


@pytest.mark.parametrize(
    ("old", "new"),
    [(VERSION_3, VERSION_9), (b"Z0", b"z0")],
    ids=["another version", "no moment"],
)
def test_who_answers_with_a_malformed_certificate_is_refused_by_name(
    node: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: bytes, new: bytes
) -> None:
    class Malformed:
        def __init__(self, key: Ed25519PrivateKey, now: datetime) -> None:
            self.der = certificate(key, now).public_bytes(Encoding.DER)

        def public_bytes(self, encoding: Encoding) -> bytes:
            assert old in self.der
            return ssl.DER_cert_to_PEM_cert(self.der.replace(old, new)).encode()

    certificate = tls._certificate
    monkeypatch.setattr(tls, "_certificate", Malformed)
    context = server_context(node.sign_key, tmp_path, datetime.now(UTC))
    accepting = socket.create_server(("127.0.0.1", 0))
    bad = LaneListener(accepting, context, authenticate, Switchboard(), unclaimed_s=1.0)
    bad.start()
    try:
        with pytest.raises(ProtocolError, match="public's direct port answers with a certificate of another"):
            dial_direct(holder_with(node), bad.port, hello(DEPLOYMENT, TOKEN), Keeping())
    finally:
        bad.stop()


@pytest.mark.parametrize("said", [hello("e" * 32, TOKEN), hello(DEPLOYMENT, "forged"), b"", b"\xff" * 5000])
def test_who_is_not_a_party_is_not_welcome(listener: LaneListener, node: Keys, said: bytes) -> None:
    with pytest.raises(OSError, match=r"closed|reset|EOF|due"):
        dial_direct(holder_with(node), listener.port, said, Keeping())


def test_a_caller_without_tls_or_a_word_does_not_hold_up_others(listener: LaneListener, node: Keys) -> None:
    silent = [socket.create_connection(("127.0.0.1", listener.port)) for _ in range(2)]
    rude = socket.create_connection(("127.0.0.1", listener.port))
    rude.sendall(b"GET / HTTP/1.1\r\n\r\n")
    lane = dial_direct(holder_with(node), listener.port, hello(DEPLOYMENT, TOKEN), Keeping())
    assert lane.alive
    for held in (*silent, rude):
        held.close()
    lane.close()


def test_a_stranger_who_ends_tls_after_the_handshake_is_let_go_at_once(listener: LaneListener) -> None:
    with socket.create_connection(("127.0.0.1", listener.port)) as raw:
        stream = TlsStream(raw, client_context(), HELLO_S, server=False)
        say_goodbye(stream)
        stream.end()
        raw.settimeout(HELLO_S / 2)
        assert raw.recv(1) == b""


def test_more_silent_callers_than_there_are_places_are_closed_at_once(listener: LaneListener) -> None:
    callers = [socket.create_connection(("127.0.0.1", listener.port)) for _ in range(STRANGERS + 20)]
    closed = 0
    with selectors.DefaultSelector() as waiting:
        for caller in callers:
            waiting.register(caller, selectors.EVENT_READ)
        while closed < 20 and (ready := waiting.select(5.0)):
            for key, _ in ready:
                closed += 1
                waiting.unregister(key.fileobj)
    assert closed >= 20
    for caller in callers:
        caller.close()


def test_no_private_key_is_left_in_the_folder(node: Keys, tmp_path: Path) -> None:
    server_context(node.sign_key, tmp_path, datetime.now(UTC))
    assert list(tmp_path.iterdir()) == []
