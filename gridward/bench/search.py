"""A real gateway process over SQLite that lists many datasets: how fast it finds them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import httpx2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from pydantic import BaseModel

from gridward.bench.callers import measure_calls
from gridward.bench.grid import running_gateway
from gridward.bench.measure import Options, Result, require
from gridward.client.gateway import GatewayClient
from gridward.client.transport import TIMEOUT, Params
from gridward.core.identity import encode_key, id_of
from gridward.core.schemas.access import SIGNED_IN
from gridward.core.schemas.gateway import CatalogueEntry, CatalogueIn, HeartbeatIn, JoinIn, SearchOut
from gridward.core.schemas.tensor import TensorInfo
from gridward.server.keys import Keys
from gridward.server.signing import sign_request

ALIVE_S: Final = 86_400
REQUESTS: Final = 100
PAGE: Final = 20
TOPICS: Final = 25
"""Every TOPICS-th dataset is about the same topic."""


@dataclass(frozen=True, slots=True)
class Query:
    """Search terms, and by how many callers at once they are asked."""

    words: str
    params: Params
    callers: int

    def expected(self, nodes: int, datasets: int) -> int:
        """Count what must be found among the datasets of all nodes."""
        if "tag" in self.params:
            return 1
        listed = nodes * datasets
        return len(range(0, listed, TOPICS)) if "topic0" in self.words else listed


QUERIES: Final = (
    Query("one tag of one dataset", {"tag": ["#set-0"]}, callers=1),
    Query("topic0 records", {"q": "topic0 records"}, callers=1),
    Query("records (all)", {"q": "records"}, callers=1),
    Query("topic0 records", {"q": "topic0 records"}, callers=8),
)


def run(options: Options) -> Iterator[Result]:
    """List ``datasets`` of each of ``nodes`` signing nodes, and measure one page of every query."""
    limits = {"joins_waiting": 10_000, "joins_per_address": 10_000, "catalogue_max_terms": 1_000_000}
    with running_gateway(away_after_s=ALIVE_S, heartbeat_s=ALIVE_S, **limits) as head:
        _fill(head, options.nodes, options.datasets)
        for query in QUERIES:
            yield _measure(head, query, options)


def _measure(head: GatewayClient, query: Query, options: Options) -> Result:
    params: Params = {**query.params, "limit": PAGE}

    def call() -> SearchOut:
        return head.transport.fetch(SearchOut, "GET", "/v1/search", params=params)

    total, expected = call().total, query.expected(options.nodes, options.datasets)
    require(total == expected, f"{query.words}: {total} found where there are {expected}")
    case = {
        "nodes": options.nodes,
        "datasets_per_node": options.datasets,
        "query": query.words,
        "callers": query.callers,
    }
    measured = measure_calls(call, query.callers, REQUESTS, options.repeat)
    return Result(case, {"found": total, **measured})


def _fill(head: GatewayClient, nodes: int, datasets: int) -> None:
    with httpx2.Client(timeout=TIMEOUT) as http:
        for at in range(nodes):
            _Member(head, http, at).publish(datasets)


class _Member:
    """A node as far as the gateway sees one: it joins, beats and pushes its catalogue, each call signed."""

    def __init__(self, head: GatewayClient, http: httpx2.Client, at: int) -> None:
        self._head = head
        self._http = http
        self._at = at
        self._keys = _fresh_keys()

    def publish(self, datasets: int) -> None:
        """Become a member and list the datasets."""
        name = f"node-{self._at}"
        place = {
            "url": f"http://127.0.0.1:{20_000 + self._at}",
            "offers_party": False,
            "offers_provider": False,
        }
        keys = {"sign_key": self._keys.sign_key_text, "seal_key": self._keys.seal_key_text}
        self._send("POST", "/v1/nodes", JoinIn.model_validate({"name": name, **place, **keys}))
        self._head.approve(self._keys.id, owner=f"owner of {name}")
        first = self._at * datasets
        entries = [_entry(number) for number in range(first, first + datasets)]
        own = f"/v1/nodes/{self._keys.id}"
        self._send("PUT", f"{own}/catalogue", CatalogueIn(entries=entries))
        beat = HeartbeatIn.model_validate({**place, "catalogue_digest": "0" * 64})
        self._send("POST", f"{own}/heartbeats", beat)

    def _send(self, method: str, path: str, body: BaseModel) -> None:
        content = body.model_dump_json().encode()
        signed = sign_request(self._keys, self._head.id, content, target=f"{method} {path}")
        headers = {"authorization": f"Bearer {signed}", "content-type": "application/json"}
        answer = self._http.request(method, self._head.url + path, content=content, headers=headers)
        require(answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}")


def _entry(number: int) -> CatalogueEntry:
    return CatalogueEntry(
        kind="dataset",
        id=f"set-{number}",
        name=f"set-{number}",
        description=f"Monthly records about topic{number % TOPICS}: weight (kg), height (cm)",
        tags=[f"#set-{number}", "#records"],
        rows=1000,
        tensors=[TensorInfo(name=name, dtype="float64", shape=[1000]) for name in ("weight", "height")],
        discover=[SIGNED_IN],
    )


def _fresh_keys() -> Keys:
    signing = Ed25519PrivateKey.generate()
    own_id = id_of(encode_key(signing.public_key().public_bytes_raw()))
    return Keys(own_id, signing, X25519PrivateKey.generate(), bytes(32), bytes(32))
