"""A signed-in view of a gateway: find data and models on all its nodes, and reach them."""

import threading
from types import TracebackType

import torch

from gridward.client import federated, models
from gridward.client.accounts import Accounts
from gridward.client.credentials import GatewayIdentity, PasswordSession
from gridward.client.node import NodeClient
from gridward.client.paging import collected, collected_up_to
from gridward.client.place import segment
from gridward.client.pointers import DatasetPointer
from gridward.client.search import SearchResult, words_and_tags
from gridward.client.transport import Transport
from gridward.core.schemas.gateway import (
    ApprovalIn,
    DirectoryNode,
    DirectoryOut,
    GatewayOut,
    Hit,
    ModelLocation,
    SearchOut,
)
from gridward.core.schemas.models import ModelOut


class GatewayClient:
    """A grid of nodes, as the signed-in user sees it. Get one from ``gw.network``.

    The gateway tells nodes who is calling, nothing more; what the user may do is each node's word.
    """

    def __init__(self, transport: Transport, facts: GatewayOut) -> None:
        self._transport = transport
        self._facts = facts
        self._nodes: dict[str, NodeClient] = {}
        self._lock = threading.Lock()
        transport.label = f"gateway {facts.name!r} at {transport.url}"
        self.users = Accounts(transport)

    def __repr__(self) -> str:
        return f"<GatewayClient {self.name} {self.url}>"

    def __enter__(self) -> "GatewayClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def id(self) -> str:
        """The gateway's id, derived from its signing key."""
        return self._facts.id

    @property
    def name(self) -> str:
        """The grid's name: its users are ``user@name`` on the nodes."""
        return self._facts.name

    @property
    def url(self) -> str:
        """Where it answers."""
        return self._transport.url

    @property
    def transport(self) -> Transport:
        """Calls to it, signed in."""
        return self._transport

    def search(self, *words: str, limit: int = 1000) -> SearchResult:
        """Find datasets on live nodes; every tag (``#…``) and every word must fit. Pointers, grouped by node."""
        terms = words_and_tags(words) | {"type": "dataset"}
        hits, total = collected_up_to(
            limit, lambda page: self._transport.fetch(SearchOut, "GET", "/v1/search", params={**terms, **page})
        )
        return SearchResult([DatasetPointer.of_hit(self._place(hit), hit) for hit in hits], total)

    def nodes(self) -> list[DirectoryNode]:
        """The directory: all nodes, live or away; for the gateway's owner also those that ask to join."""
        return collected(lambda page: self._transport.fetch(DirectoryOut, "GET", "/v1/nodes", params=page))

    def find_node(self, name: str) -> DirectoryNode:
        """One node of the directory, by name or id; raises ``ObjectNotFoundError``."""
        return self._transport.fetch(DirectoryNode, "GET", f"/v1/nodes/{segment(name)}")

    def node(self, name: str) -> NodeClient:
        """Reach a node by name or id, as ``user@grid``."""
        entry = self.find_node(name)
        return self._connect(entry.id, entry.name, entry.url)

    def approve(self, node: str, *, owner: str) -> DirectoryNode:
        """Take a node in (gateway's owner only). ``owner`` says who owns it: one owner never fills two roles."""
        return self._decide(node, ApprovalIn(approved=True, owner=owner))

    def refuse(self, node: str, *, owner: str = "unknown") -> DirectoryNode:
        """Refuse a node, or turn one out (gateway's owner only)."""
        return self._decide(node, ApprovalIn(approved=False, owner=owner))

    def model_node(self, model_id: str) -> NodeClient:
        """Reach the node that hosts a model; raises ``ObjectNotFoundError``."""
        entry = self._transport.fetch(ModelLocation, "GET", f"/v1/models/{segment(model_id)}").node
        return self._connect(entry.id, entry.name, entry.url)

    def query_model(self, id: str, x: torch.Tensor, *, mpc: bool = False) -> torch.Tensor:  # noqa: A002
        """Ask a hosted model. With ``mpc=False`` in the clear: its node sees ``x``."""
        return models.query(self.model_node(id), id, x)

    def describe_model(self, id: str) -> ModelOut:  # noqa: A002
        """What may be known of a hosted model."""
        return models.describe(self.model_node(id), id)

    def close(self) -> None:
        """Close all connections; the session lives on until it expires."""
        with self._lock:
            for node in self._nodes.values():
                node.close()
            self._nodes.clear()
        self._transport.close()

    def sign_out(self) -> None:
        """End the session at the gateway and close."""
        if isinstance(self._transport.credentials, PasswordSession):
            self._transport.credentials.close()
        self.close()

    def _decide(self, node: str, body: ApprovalIn) -> DirectoryNode:
        node_id = self.find_node(node).id
        return self._transport.fetch(DirectoryNode, "POST", f"/v1/nodes/{node_id}/approval", body=body)

    def _place(self, hit: Hit) -> NodeClient:
        return self._connect(hit.node_id, hit.node_name, hit.node_url)

    def _connect(self, node_id: str, name: str, url: str) -> NodeClient:
        with self._lock:
            known = self._nodes.get(node_id)
            if known is None or known.url != url.rstrip("/"):
                identity = GatewayIdentity(self._transport, node_id)
                calls = self._transport.with_credentials(identity, url)
                known = self._nodes[node_id] = NodeClient(calls, id=node_id, name=name)
            return known
