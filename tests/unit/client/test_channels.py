import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from websockets.sync.server import ServerConnection, serve

from gridward.client import channels
from gridward.client.channels import WebSocketChannel, receive_all, send_all
from gridward.core.errors import GridError, NodeUnreachableError, ObjectNotFoundError, ProtocolError
from gridward.core.framing import MESSAGE_BYTES, pieces
from gridward.core.schemas.channel import Answered, Ask, Opened, write_reply

ASK = Ask(bytes(32), "0" * 32, b"masked")
LIMIT_BYTES = 4 * MESSAGE_BYTES
PROMPT_S = 5.0

Party = Callable[[ServerConnection], None]


def says(reply: Answered | GridError, after_s: float = 0.0) -> Party:
    def party(socket: ServerConnection) -> None:
        socket.recv()
        time.sleep(after_s)
        for piece in pieces(*write_reply(reply)):
            socket.send(piece)
        socket.recv()

    return party


def silent(socket: ServerConnection) -> None:
    for _ in socket:
        continue


def leaves(socket: ServerConnection) -> None:
    socket.recv()


class Grid:
    """Scripted parties behind real WebSockets."""

    def __init__(self, held: ExitStack) -> None:
        self._held = held

    def asked(self, *parties: Party) -> list[WebSocketChannel]:
        opened = []
        for at, party in enumerate(parties):
            server = self._held.enter_context(serve(party, "127.0.0.1", 0, close_timeout=1))
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            self._held.callback(thread.join)
            self._held.callback(server.shutdown)
            url = f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
            opened.append(WebSocketChannel(url, f"party {at}", "grant"))
            self._held.callback(opened[-1].close)
            send_all([opened[-1]], [ASK], iter(()))
        return opened


@pytest.fixture
def grid() -> Iterator[Grid]:
    with ExitStack() as held:
        yield Grid(held)


def answered(byte: int, count: int = 100) -> Answered:
    return Answered(bytes([byte]) * count, 3, 4, 0.5)


def test_answers_are_given_in_the_order_of_the_parties_whichever_comes_first(grid: Grid) -> None:
    late = says(answered(0), after_s=3 * channels.MOMENT_S)
    asked = grid.asked(late, says(answered(1, 2 * MESSAGE_BYTES)), says(answered(2)))
    assert receive_all(asked, LIMIT_BYTES) == [answered(0), answered(1, 2 * MESSAGE_BYTES), answered(2)]


@pytest.mark.parametrize("silent_one", [0, 1])
def test_a_refusal_is_told_at_once_though_another_party_is_silent(grid: Grid, silent_one: int) -> None:
    parties = [says(ObjectNotFoundError("it was restarted"))]
    parties.insert(silent_one, silent)
    asked = grid.asked(*parties)
    began = time.monotonic()
    with pytest.raises(ObjectNotFoundError, match="it was restarted"):
        receive_all(asked, LIMIT_BYTES)
    assert time.monotonic() - began < PROMPT_S


def test_a_party_that_leaves_is_named_though_another_is_silent(grid: Grid) -> None:
    asked = grid.asked(silent, leaves)
    began = time.monotonic()
    with pytest.raises(NodeUnreachableError, match="party 1 did not answer"):
        receive_all(asked, LIMIT_BYTES)
    assert time.monotonic() - began < PROMPT_S


def test_a_refusal_that_blames_another_party_gives_way_to_that_partys_own(grid: Grid) -> None:
    asked = grid.asked(
        says(ProtocolError("party 1 ended the session")), says(ObjectNotFoundError("it was restarted"))
    )
    time.sleep(0.5)  # both are here
    with pytest.raises(ObjectNotFoundError, match="it was restarted"):
        receive_all(asked, LIMIT_BYTES)


def test_a_party_that_says_nothing_for_long_is_named(grid: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "ANSWER_S", 0.2)
    asked = grid.asked(says(answered(0)), silent)
    with pytest.raises(NodeUnreachableError, match="party 1 did not answer"):
        receive_all(asked, LIMIT_BYTES)


def test_an_answer_above_the_limit_is_refused(grid: Grid) -> None:
    asked = grid.asked(says(answered(0, 1000)))
    with pytest.raises(NodeUnreachableError, match="at most 500"):
        receive_all(asked, 500)


class Keeps:
    """A channel that says how much of the input was there at each of its messages."""

    alive = True

    def __init__(self, whole: bool, made: list[int]) -> None:
        self.whole = whole
        self._made = made
        self.there: list[int] = []

    def open(self, grant: str, query_id: str) -> Opened:
        raise AssertionError

    def sending(self, ask: Ask) -> Iterator[None]:
        for _ in range(1 if self.whole else len(ask.masked) // MESSAGE_BYTES):
            self.there.append(self._made[-1])
            yield

    def receive(self, limit_bytes: int, within_s: float) -> Answered | None:
        raise AssertionError

    def close(self) -> None:
        raise AssertionError


@pytest.mark.parametrize("one_whole", [False, True])
def test_each_message_is_made_just_before_it_is_sent(one_whole: bool) -> None:
    made = [0]

    def making() -> Iterator[int]:
        while made[-1] < 4 * MESSAGE_BYTES:
            made.append(made[-1] + MESSAGE_BYTES // 2)
            yield made[-1]

    first, second = Keeps(False, made), Keeps(one_whole, made)
    send_all([first, second], [Ask(bytes(32), "0" * 32, bytes(4 * MESSAGE_BYTES))] * 2, making())
    steps = [MESSAGE_BYTES * at for at in range(1, 5)]
    assert first.there == ([4 * MESSAGE_BYTES] * 4 if one_whole else steps)
    assert second.there == ([4 * MESSAGE_BYTES] if one_whole else steps)
