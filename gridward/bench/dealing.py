"""What a bundle costs at a real provider: asked for over HTTP, signed and unsealed with the parties' keys."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

import httpx2

from gridward.client.transport import TIMEOUT, Transport
from gridward.core.schemas.bundles import BundlesHad, BundlesIn
from gridward.core.schemas.deployments import DeploymentDocument
from gridward.core.smpc.pieces import read_pieces
from gridward.server.keys import Keys
from gridward.server.signing import sign_request

FIRST_SERIAL: Final = 10**6
"""Far from the numbers of real queries, so that no bundle of theirs is touched."""
Part = TypeVar("Part")


@dataclass(frozen=True, slots=True)
class Dealt:
    """One bundle: the seconds from the parties' calls until each has its packet, and the packets."""

    seconds: float
    packets: list[bytes]


class Asking:
    """All parties of a deployment, as far as the provider sees them."""

    def __init__(
        self,
        document: DeploymentDocument,
        keys: Sequence[Keys],
        http: httpx2.Client,
        pool: ThreadPoolExecutor,
    ) -> None:
        self._document = document
        self._keys = keys
        self._provider = Transport(document.crypto_provider.url, http=http)
        self._pool = pool

    def take(self, batch: int, number: int) -> Dealt:
        """Have all parties fetch their packets of a new bundle side by side, then confirm them."""
        body = BundlesIn(batch=batch, serial=FIRST_SERIAL + number)
        had = BundlesHad(batch=batch, serials=[body.serial])
        began = time.perf_counter()
        packets = self._each(lambda at: self._fetch(at, body))
        seconds = time.perf_counter() - began
        self._each(lambda at: self._send(at, "bundles/confirmation", had))
        return Dealt(seconds, packets)

    def _each(self, work: Callable[[int], Part]) -> list[Part]:
        return list(self._pool.map(work, range(len(self._keys))))

    def _fetch(self, at: int, body: BundlesIn) -> bytes:
        key, sent = self._keys[at].seal_key.private_bytes_raw(), self._send(at, "bundles", body)
        pieces = read_pieces([sent], len(sent))
        return b"".join(piece.opened(key, self._document.id, at) for piece in pieces)

    def _send(self, at: int, what: str, body: BundlesIn | BundlesHad) -> bytes:
        path = f"/v1/provider/deployments/{self._document.id}/{what}"
        content = body.model_dump_json().encode()
        signed = sign_request(
            self._keys[at], self._document.crypto_provider.node_id, content, target=f"POST {path}"
        )
        headers = {"authorization": f"Bearer {signed}", "content-type": "application/json"}
        return self._provider.send("POST", path, content=content, headers=headers).content


@contextmanager
def asking(document: DeploymentDocument, keys: Sequence[Keys]) -> Iterator[Asking]:
    """Speak for all parties of a deployment; ``keys`` in party order."""
    with httpx2.Client(timeout=TIMEOUT) as http, ThreadPoolExecutor(len(keys)) as pool:
        yield Asking(document, keys, http, pool)
