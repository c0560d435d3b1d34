import socket
import threading
import time
from collections.abc import Iterator, Sequence

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from gridward.api.lanes import websocket
from gridward.api.lanes.accept import AcceptedSocket
from gridward.api.lanes.lane import DialledLane
from gridward.api.lanes.switchboard import Switchboard
from gridward.api.lanes.websocket import UNREAD_BYTES, DialledWebSocket
from gridward.core.errors import ProtocolError
from gridward.core.framing import MESSAGE_BYTES, pieces
from tests.unit.api.lanes.lane_contract import DEPLOYMENT, FLOOD_BYTES, PROMPT_S, LaneContract

UNCLAIMED_S = 1.0


class Exchange:
    """A real server that carries every accepted WebSocket as party 0's."""

    def __init__(self) -> None:
        self.switchboard = Switchboard()
        app = Starlette(routes=[WebSocketRoute("/lane", self._accept)])
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"ws://127.0.0.1:{self._listener.getsockname()[1]}/lane"
        config = uvicorn.Config(app, log_config=None, ws="websockets-sansio", lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._listener],))
        self._thread.start()

    async def _accept(self, ws: WebSocket) -> None:
        await ws.accept()
        await AcceptedSocket(ws, self.switchboard, DEPLOYMENT, 0, UNCLAIMED_S).carry()

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._listener.close()


class Keeping(list[DialledLane]):
    def keep(self, lane: DialledLane) -> None:
        self.append(lane)


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    running = Exchange()
    yield running
    running.close()


class TestWebSocketLane(LaneContract):
    flush_at = websocket

    @pytest.fixture(autouse=True)
    def _served(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.board = exchange.switchboard
        self.keeping = Keeping()

    def dial(self) -> DialledWebSocket:
        return DialledWebSocket(self.exchange.url, "token", 5.0, self.keeping)

    def kept(self) -> Sequence[DialledLane]:
        return self.keeping

    def test_a_frame_with_more_bytes_than_it_announced_ends_the_connection(self) -> None:
        dialled = self.dial()
        accepted = self.meet(dialled)
        dialled._send([(3).to_bytes(8, "little") + bytes(8)])
        with pytest.raises(OSError, match="closed"):
            accepted.receive(1e9, 64)
        dialled.close()

    def test_a_message_outside_a_session_ends_the_connection(self) -> None:
        dialled = self.dial()
        dialled.send(b"no session has begun")
        with pytest.raises(OSError, match="closed"):
            dialled.receive(1e9, 64)
        dialled.close()

    def test_what_nobody_reads_waits_in_the_network(self) -> None:
        dialled = self.dial()
        accepted = self.meet(dialled)
        flood = threading.Thread(target=self._flood, args=(dialled,))
        flood.start()
        flood.join(2.0)
        assert flood.is_alive()  # the network is full
        held = accepted.inbox.qsize()  # type: ignore[attr-defined]
        assert held * MESSAGE_BYTES <= UNREAD_BYTES + 2 * MESSAGE_BYTES
        accepted.close()
        flood.join(10.0)
        assert not flood.is_alive()
        dialled.close()

    def test_a_write_that_makes_no_way_ends_with_the_time_of_a_round(self) -> None:
        dialled = DialledWebSocket(self.exchange.url, "token", 0.3, self.keeping)
        accepted = self.meet(dialled)
        began = time.monotonic()
        with pytest.raises(OSError, match="closed"):
            dialled._send(pieces(bytes(FLOOD_BYTES)))
        assert time.monotonic() - began < PROMPT_S
        accepted.close()
        dialled.close()

    def test_a_session_waits_until_the_peer_has_read_the_one_before(self) -> None:
        dialled = self.dial()
        first = self.meet(dialled)
        first.send(bytes(FLOOD_BYTES))
        first.release()
        dialled.begin("f" * 32)
        with pytest.raises(ProtocolError, match="did not join"):
            self.board.claim((DEPLOYMENT, "f" * 32), 0, 0.3)
        assert dialled.receive(time.monotonic() + 20, FLOOD_BYTES) == bytes(FLOOD_BYTES)
        self.board.claim((DEPLOYMENT, "f" * 32), 0, 5.0).close()
        dialled.close()

    def _flood(self, dialled: DialledWebSocket) -> None:
        with pytest.raises(OSError, match="closed"):
            for _ in range(1000):
                dialled._send(pieces(bytes(MESSAGE_BYTES - 8)))
