"""Asking encrypted models: masked queries to all parties, answers added up.

A query has two steps. Opening it takes the host's grant and a bundle at each party, and needs no input; only
the second step, from the input to the answer, depends on it. So queries may be opened ahead of their use.
"""

import hashlib
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Final, TypeVar

import httpx2
import torch

from gridward.client import models
from gridward.client.attestation import check_roles
from gridward.client.channels import Channel, Channels, receive_all, send_all
from gridward.client.encrypted import compiled
from gridward.client.granted import require_one_each
from gridward.client.place import Place, segment
from gridward.client.transport import TIMEOUT
from gridward.core.errors import (
    DeploymentRefusedError,
    InvalidInputError,
    ObjectNotFoundError,
)
from gridward.core.identity import encode_key
from gridward.core.schemas.channel import Answered, Ask, Opened
from gridward.core.schemas.deployments import (
    DeploymentDocument,
    DeploymentOut,
    PartyGrant,
    QueryIn,
    QueryOut,
)
from gridward.core.schemas.gateway import GatewayOut
from gridward.core.schemas.tensor import TensorInfo
from gridward.core.smpc import purposes
from gridward.core.smpc.program import Program
from gridward.core.smpc.query import answer_bytes, cut_answer, masking, reconstruct_output
from gridward.core.smpc.ring import as_bytes
from gridward.core.smpc.sealing import OVERHEAD_BYTES, public_key, unseal

Result = TypeVar("Result")
REPLY_HEAD_BYTES: Final = 4096
PARTIES_AT_ONCE: Final = 16


@dataclass(frozen=True, slots=True)
class EncryptedAnswer:
    """What an encrypted query gave and took; ``seconds`` from the call to the answer."""

    output: torch.Tensor
    rounds: int
    sent_bytes: int
    seconds: float


@dataclass(frozen=True, slots=True, repr=False)
class OpenQuery:
    """A query that every party has opened. Good for one input."""

    document: DeploymentDocument
    program: Program
    id: str
    grants: tuple[PartyGrant, ...]
    private: bytes
    subkeys: tuple[bytes, ...]


class Asker:
    """Asks encrypted models of one grid; remembers their programs. Safe for several threads."""

    def __init__(self, gateway: GatewayOut) -> None:
        self._gateway = gateway
        self._documents: dict[tuple[str, str], DeploymentDocument] = {}
        self._programs: dict[tuple[str, int], Program] = {}
        self._lock = threading.Lock()
        self._http = httpx2.Client(timeout=TIMEOUT, follow_redirects=False)
        self._channels = Channels(self._http)
        self._threads = ThreadPoolExecutor(PARTIES_AT_ONCE, "parties")

    def ask(self, node: Place, model_id: str, x: torch.Tensor) -> EncryptedAnswer:
        """Run one encrypted query on all parties; nobody but the caller sees ``x`` or the answer.

        A single sample without a batch dimension gets one, and loses it again. ``x`` is checked before it is
        sent and read again as it is: leave it unchanged until the answer is here.
        Raises ``DeploymentRefusedError`` if the gateway does not vouch for the parties, ``OutOfRangeError``
        for inputs beyond the declared or the fixed-point range, ``RangeViolationError`` where the deployment
        guards and a value inside left its bits, ``ProtocolError`` if a party fails on the way.
        """
        began = time.perf_counter()
        batch, single = models.batched(x, _input_of(self._document(node, model_id)))
        return self.finish(self.open(node, model_id, len(batch)), batch, single, x, began)

    def open(self, node: Place, model_id: str, batch: int) -> OpenQuery:
        """Take the first step of a query: leave of the host, a bundle and a subkey of each party."""
        known = self._document(node, model_id)
        private = secrets.token_bytes(32)
        query = node.transport.fetch(
            QueryOut,
            "POST",
            f"/v1/models/{segment(model_id)}/queries",
            body=QueryIn(batch=batch, seal_key=encode_key(public_key(private))),
        )
        if query.deployment_id != known.id:
            known = self._fetched(node, model_id)
            if query.deployment_id != known.id:
                raise DeploymentRefusedError(f"{node.name} speaks of two deployments of {model_id!r}")
        program = self._program(known, batch)
        require_one_each(query.grants, known)
        opened = self._side_by_side([partial(self._open, known, grant, query.id) for grant in query.grants])
        subkeys = [
            unseal(private, reply.sealed, purposes.subkey(query.id, party))
            for party, reply in enumerate(opened)
        ]
        return OpenQuery(known, program, query.id, tuple(query.grants), private, tuple(subkeys))

    def finish(
        self, query: OpenQuery, batch: torch.Tensor, single: bool, x: torch.Tensor, began: float
    ) -> EncryptedAnswer:
        """Take the second step: the masked input to every party, their shares added up.

        The range of ``batch`` is checked before anything is sent, its values are encoded while it is: leave
        the tensor unchanged until this returns. What is changed meanwhile goes out unchecked.
        """
        program = query.program
        reals = batch if batch.dtype in (torch.float32, torch.float64) else batch.double()
        masked, making = masking(program, reals.numpy(), query.subkeys)
        answers = self._answers(query, as_bytes(masked), making)
        cut = [
            cut_answer(program, unseal(query.private, answer.sealed, purposes.answer(query.id, party)))
            for party, answer in enumerate(answers)
        ]
        y = torch.from_numpy(
            reconstruct_output(program, [share for share, _ in cut], [checks for _, checks in cut])
        )
        y = y.to(x.dtype if x.is_floating_point() else torch.float32)
        return EncryptedAnswer(
            output=y.squeeze(0) if single else y,
            rounds=max(answer.rounds for answer in answers),
            sent_bytes=sum(answer.sent_bytes for answer in answers),
            seconds=time.perf_counter() - began,
        )

    def prepared(self, node: Place, model_id: str, batch: int, ahead: int) -> "PreparedQueries":
        """Ask one model again and again; see ``PreparedQueries``."""
        return PreparedQueries(self, node, model_id, batch, ahead, _input_of(self._document(node, model_id)))

    def close(self) -> None:
        """Close the connections to the parties."""
        self._threads.shutdown(wait=True)
        self._channels.close()
        self._http.close()

    def _open(self, document: DeploymentDocument, grant: PartyGrant, query_id: str) -> Opened:
        channel = self._channels.take(document, grant)
        try:
            opened = channel.open(grant.token, query_id)
        except BaseException:
            channel.close()  # an answer may still come on it
            raise
        self._channels.give_back(document, grant.party, channel)
        return opened

    def _answers(self, query: OpenQuery, masked: memoryview, making: Iterator[int]) -> list[Answered]:
        """Send the masked input to every party before any answer is awaited: they compute together."""
        limit = OVERHEAD_BYTES + REPLY_HEAD_BYTES + answer_bytes(query.program)
        channels: list[Channel] = []
        try:
            channels += [self._channels.take(query.document, grant) for grant in query.grants]
            proofs = [hashlib.sha256(grant.token.encode()).digest() for grant in query.grants]
            send_all(channels, [Ask(proof, query.id, masked) for proof in proofs], making)
            answers = receive_all(channels, limit)
        except BaseException:
            for channel in channels:
                channel.close()  # an answer may still come on it
            raise
        for party, channel in enumerate(channels):
            self._channels.give_back(query.document, party, channel)
        return answers

    def _side_by_side(self, calls: Sequence[Callable[[], Result]]) -> list[Result]:
        """Make all calls at once, one in this thread; a refusal is raised after all have ended."""
        others = [self._threads.submit(call) for call in calls[1:]]
        try:
            first = calls[0]()
        finally:
            for other in others:
                other.exception()
        return [first, *(other.result() for other in others)]

    def _document(self, node: Place, model_id: str) -> DeploymentDocument:
        with self._lock:
            known = self._documents.get((node.id, model_id))
        return known if known is not None else self._fetched(node, model_id)

    def _fetched(self, node: Place, model_id: str) -> DeploymentDocument:
        """Fetch a deployment and check that its roles are attested and its program is what its host says."""
        path = f"/v1/models/{segment(model_id)}/deployment"
        document = node.transport.fetch(DeploymentOut, "GET", path).document
        check_roles(document, self._gateway)
        if document.host.node_id != node.id:
            raise DeploymentRefusedError(f"{model_id!r} is another node's deployment than {node.name}'s")
        if compiled(document, 1).digest != document.program_digest:
            raise DeploymentRefusedError(f"{model_id!r} is another program than its host says")
        with self._lock:
            self._documents[node.id, model_id] = document
        return document

    def _program(self, document: DeploymentDocument, batch: int) -> Program:
        with self._lock:
            program = self._programs.get((document.id, batch))
        if program is None:
            program = compiled(document, batch)
            with self._lock:
                self._programs[document.id, batch] = program
        return program


class PreparedQueries:
    """Queries of one model that are opened ahead: a call takes the second step only. Close it after use.

    Each open query has spent a bundle at every party and takes memory there. Those that are not used by the
    end are lost; ones that a party dropped meanwhile are replaced.
    """

    def __init__(
        self, asker: Asker, node: Place, model_id: str, batch: int, ahead: int, data: TensorInfo
    ) -> None:
        if ahead < 1 or batch < 1:
            raise InvalidInputError("at least one query of one row is opened ahead")
        self._asker = asker
        self._node = node
        self._model_id = model_id
        self._batch = batch
        self._data = data
        self._threads = ThreadPoolExecutor(1, "open ahead")
        self._ahead: deque[Future[OpenQuery]] = deque()
        self._changed = threading.Condition()
        self._over = False
        for _ in range(ahead):
            self._open_one()

    def __call__(self, x: torch.Tensor) -> EncryptedAnswer:
        """Ask one query of as many rows as were prepared for; raises as ``ask_encrypted``."""
        began = time.perf_counter()
        batch, single = models.batched(x, self._data)
        if len(batch) != self._batch:
            raise InvalidInputError(f"queries of {self._batch} rows are prepared, this has {len(batch)}")
        with self._changed:
            self._changed.wait_for(lambda: self._ahead or self._over)
            if self._over:
                raise InvalidInputError("these prepared queries are closed")
            ahead = self._ahead.popleft()
        try:
            return self._asker.finish(ahead.result(), batch, single, x, began)
        except ObjectNotFoundError:
            fresh = self._asker.open(self._node, self._model_id, self._batch)
            return self._asker.finish(fresh, batch, single, x, began)
        finally:
            self._open_one()  # only now: it would take the parties' time from the query

    @property
    def ready(self) -> int:
        """How many queries are open."""
        with self._changed:
            return sum(query.done() for query in self._ahead)

    def close(self) -> None:
        """Open no more; calls that wait are refused."""
        with self._changed:
            self._over = True
            self._changed.notify_all()
        self._threads.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> "PreparedQueries":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open_one(self) -> None:
        with self._changed:
            if not self._over:
                opening = self._threads.submit(self._asker.open, self._node, self._model_id, self._batch)
                self._ahead.append(opening)
                self._changed.notify()


def _input_of(document: DeploymentDocument) -> TensorInfo:
    data = [value for value in document.plan.inputs if value.role == "data"]
    if len(data) != 1:
        raise InvalidInputError("an encrypted model takes one input")
    return TensorInfo(name=data[0].name, dtype=data[0].dtype, shape=data[0].shape)
