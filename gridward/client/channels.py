"""Channels to the parties of encrypted models: kept open between queries, each used by one at a time."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from typing import Final, NoReturn, Protocol

import httpx2
from websockets.exceptions import InvalidHandshake, InvalidStatus, WebSocketException
from websockets.protocol import State
from websockets.sync.client import ClientConnection, connect

from gridward.client.granted import call_to_party
from gridward.client.transport import Transport
from gridward.core.errors import GridError, NodeUnreachableError, ProtocolError
from gridward.core.framing import LONGEST_MESSAGE_BYTES, MESSAGE_BYTES, joined, pieces
from gridward.core.schemas.channel import Answered, Ask, Opened, Reply, read_reply, write_ask
from gridward.core.schemas.deployments import DeploymentDocument, PartyGrant, QueryAnswer, SealedOut

ANSWER_S: Final = 300.0
OPEN_S: Final = 5.0
SEND_S: Final = 60.0
"""So long a party may leave a message unread."""
MOMENT_S: Final = 0.02
SUBKEY_BYTES: Final = 1 << 12
OCTETS: Final = {"content-type": "application/octet-stream"}
IDLE_CHANNELS: Final = 4
_SENT: Final = object()
PASSING: Final = frozenset({401, 403, 429, 502, 503, 504})
"""Refusals that say nothing of whether WebSockets get through: two requests serve this time."""


class Channel(Protocol):
    """The two steps of a query at one party. Used by one thread at a time."""

    @property
    def alive(self) -> bool:
        """Say whether it may serve another query."""

    @property
    def whole(self) -> bool:
        """Say whether an input must be there to its end before any of it is sent."""

    def open(self, grant: str, query_id: str) -> Opened:
        """Open the query that the grant is for."""

    def sending(self, ask: Ask) -> Iterator[None]:
        """Have an open query answered, without waiting for it: some of the input goes with every step."""

    def receive(self, limit_bytes: int, within_s: float) -> Answered | None:
        """Wait for the answer to what was sent; None where none begins to come in time.

        It has at most ``limit_bytes``. Once it begins, it is awaited to its end.
        """

    def close(self) -> None:
        """End the connection."""


class WebSocketChannel:
    """A WebSocket to one party; see ``core.schemas.channel`` for what is said on it."""

    whole: Final = False

    def __init__(self, url: str, label: str, grant: str) -> None:
        self._label = label
        self._first: bytes | None = None
        self._answer_due = 0.0
        self._held = ExitStack()
        self._connection: ClientConnection = self._held.enter_context(
            connect(
                url,
                additional_headers={"Authorization": f"Bearer {grant}"},
                open_timeout=OPEN_S,
                close_timeout=1,
                max_size=LONGEST_MESSAGE_BYTES,
                compression=None,
                proxy=None,
            )
        )
        self._connection.socket.settimeout(SEND_S)

    @property
    def alive(self) -> bool:
        """Say whether the connection stands."""
        return self._connection.protocol.state is State.OPEN

    def open(self, grant: str, query_id: str) -> Opened:
        """Send the grant, wait for the sealed subkey."""
        self._send(grant)
        reply = self._reply(SUBKEY_BYTES)
        if not isinstance(reply, Opened) or reply.query_id != query_id:
            raise NodeUnreachableError(f"{self._label} answered another question; ask again")
        return reply

    def sending(self, ask: Ask) -> Iterator[None]:
        """Send the masked input, a message with every step."""
        self._answer_due = time.monotonic() + ANSWER_S
        for message in pieces(*write_ask(ask)):
            self._send(message)
            yield

    def receive(self, limit_bytes: int, within_s: float) -> Answered | None:
        """Wait for the sealed share."""
        try:
            self._first = self._receive(time.monotonic() + within_s)
        except TimeoutError as why:
            if time.monotonic() > self._answer_due:
                self._lose(why)
            return None
        except (OSError, WebSocketException) as why:
            self._lose(why)
        reply = self._reply(limit_bytes)
        if not isinstance(reply, Answered):
            raise NodeUnreachableError(f"{self._label} answered another question; ask again")
        return reply

    def close(self) -> None:
        """End the connection."""
        self._held.close()

    def _send(self, message: bytes | str) -> None:
        try:
            self._connection.send(message)
        except (OSError, WebSocketException) as why:
            self._lose(why)

    def _reply(self, limit_bytes: int) -> Reply:
        try:
            frame = joined(self._receive, time.monotonic() + ANSWER_S, limit_bytes)
        except (OSError, WebSocketException) as why:
            self._lose(why)
        return read_reply(frame, self._label)

    def _lose(self, why: Exception) -> NoReturn:
        self.close()
        raise NodeUnreachableError(f"{self._label} did not answer the query ({why}); ask again") from why

    def _receive(self, deadline: float) -> bytes:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        message = self._connection.recv(timeout=max(deadline - time.monotonic(), 0.0))
        return message.encode() if isinstance(message, str) else message


class HttpChannel:
    """The same steps as two requests, for parties behind a proxy that lets no WebSocket through."""

    alive: Final = False
    whole: Final = True

    def __init__(self, calls: Transport, deployment_id: str) -> None:
        self._calls = calls
        self._path = f"/v1/parties/deployments/{deployment_id}/queries"
        self._thread = ThreadPoolExecutor(1, "answer")
        self._asked: Future[QueryAnswer] | None = None

    def open(self, grant: str, query_id: str) -> Opened:
        """Open the query; the calls carry its grant."""
        return Opened(query_id, self._calls.fetch(SealedOut, "POST", f"{self._path}/{query_id}").raw())

    def sending(self, ask: Ask) -> Iterator[None]:
        """Have it answered, in a thread of its own."""
        self._asked = self._thread.submit(
            self._calls.fetch,
            QueryAnswer,
            "POST",
            f"{self._path}/{ask.query_id}/answer",
            content=bytes(ask.masked),
            headers=OCTETS,
            timeout_s=ANSWER_S,
        )
        yield

    def receive(self, limit_bytes: int, within_s: float) -> Answered | None:
        """Wait for that thread."""
        if self._asked is None:
            raise ValueError("nothing was sent")
        if not wait([self._asked], within_s).done:
            return None
        answer = self._asked.result()
        return Answered(answer.raw(), answer.rounds, answer.sent_bytes, answer.seconds)

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=False)


def send_all(channels: Sequence[Channel], asks: Sequence[Ask], making: Iterator[int]) -> None:
    """Send every party its masked input, in turns: all have it, and compute, at nearly the same time.

    ``making`` fills the input, saying how many bytes are there: each message is made just before it is sent.
    """
    going = [channel.sending(ask) for channel, ask in zip(channels, asks, strict=True)]
    step = max(len(ask.masked) for ask in asks) if any(one.whole for one in channels) else MESSAGE_BYTES
    wanted = 0
    while going:
        wanted += step
        for made in making:
            if made >= wanted:
                break
        going = [sending for sending in going if next(sending, _SENT) is not _SENT]


def receive_all(channels: Sequence[Channel], limit_bytes: int) -> list[Answered]:
    """Wait for all parties' answers, or for the first refusal; one that blames another party comes last.

    This thread listens to one party after another, to each for a moment: none that is silent holds back what
    another one says, and no thread is started for it.
    """
    answers: dict[int, Answered] = {}
    while len(answers) < len(channels):
        refusals: list[GridError] = []
        for party in set(range(len(channels))) - answers.keys():
            try:
                answer = channels[party].receive(limit_bytes, 0.0 if refusals else MOMENT_S)
            except GridError as why:
                refusals.append(why)
                continue
            if answer is not None:
                answers[party] = answer
        if refusals:
            raise next((why for why in refusals if not isinstance(why, ProtocolError)), refusals[0])
    return [answers[party] for party in range(len(channels))]


class Channels:
    """Channels by deployment and party. Safe for several threads."""

    def __init__(self, http: httpx2.Client) -> None:
        self._http = http
        self._idle: dict[tuple[str, int], list[Channel]] = defaultdict(list)
        self._closed_to_websockets: set[str] = set()
        self._lock = threading.Lock()

    def take(self, document: DeploymentDocument, grant: PartyGrant) -> Channel:
        """Give a channel to the party of a grant: an idle one, or a new one."""
        key = document.id, grant.party
        while True:
            with self._lock:
                if not self._idle[key]:
                    break
                channel = self._idle[key].pop()
            if channel.alive:
                return channel
            channel.close()
        return self._connect(document, grant)

    def give_back(self, document: DeploymentDocument, party: int, channel: Channel) -> None:
        """Keep a channel for the next query; a few wait for each party, more are closed."""
        with self._lock:
            idle = self._idle[document.id, party]
            kept = channel.alive and len(idle) < IDLE_CHANNELS
            if kept:
                idle.append(channel)
        if not kept:
            channel.close()

    def close(self) -> None:
        """Close all idle channels."""
        with self._lock:
            channels = [channel for idle in self._idle.values() for channel in idle]
            self._idle.clear()
        for channel in channels:
            channel.close()

    def _connect(self, document: DeploymentDocument, grant: PartyGrant) -> Channel:
        calls = call_to_party(grant, document, self._http)
        if calls.url not in self._closed_to_websockets:
            url = f"{calls.url.replace('http', 'ws', 1)}/v1/parties/deployments/{document.id}/queries"
            try:
                return WebSocketChannel(url, calls.label, grant.token)
            except InvalidStatus as why:
                if why.response.status_code not in PASSING:
                    self._closed_to_websockets.add(calls.url)
            except InvalidHandshake:
                self._closed_to_websockets.add(calls.url)
            except OSError as why:
                raise NodeUnreachableError(
                    f"{calls.label} cannot be reached ({why}); is it running, and is the address right?"
                ) from why
        return HttpChannel(calls, document.id)
