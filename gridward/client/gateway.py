"""A signed-in view of a gateway: find data and models on all its nodes, and reach them."""

import threading
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType

import torch

from gridward.client import directory, encrypted, models, runs
from gridward.client.accounts import Accounts, OwnAccount
from gridward.client.asking import Asker, EncryptedAnswer, PreparedQueries
from gridward.client.audit import AuditLog
from gridward.client.credentials import GatewayIdentity, PasswordSession
from gridward.client.dataset_pointers import DatasetPointer
from gridward.client.encrypted import EncryptedModel
from gridward.client.federation import entry
from gridward.client.federation.driver import Surroundings
from gridward.client.federation.following import GatewayFollower
from gridward.client.federation.history import TrainingResult
from gridward.client.federation.secure import Secure
from gridward.client.federation.setup import Choice
from gridward.client.federation.terms import Terms
from gridward.client.node import NodeClient
from gridward.client.paging import collected_up_to
from gridward.client.place import segment
from gridward.client.roles import Roles
from gridward.client.runs import FederatedRun
from gridward.client.search import SearchResult, words_and_tags
from gridward.client.training import Loss, Metric, Recipe, Run
from gridward.client.transport import Transport
from gridward.core.errors import GridError
from gridward.core.federation.schedules import Constant, RateSchedule
from gridward.core.federation.strategies import FedAvg, Strategy
from gridward.core.plans.optimizers import Optimizer
from gridward.core.schemas.audit import AuditHead
from gridward.core.schemas.gateway import (
    DirectoryNode,
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
        self._asker = Asker(facts)
        transport.label = f"gateway {facts.name!r} at {transport.url}"
        self.users = Accounts(transport)
        self.roles = Roles(transport)
        self.account = OwnAccount(transport)
        self.audit = AuditLog(transport)

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
        """Find datasets on live nodes; every tag (``#…``) and every word must fit."""
        terms = words_and_tags(words) | {"type": "dataset"}
        hits, total = collected_up_to(
            limit,
            lambda page: self._transport.fetch(SearchOut, "GET", "/v1/search", params={**terms, **page}),
        )
        return SearchResult([DatasetPointer.of_hit(self._place(hit), hit) for hit in hits], total)

    def nodes(self) -> list[DirectoryNode]:
        """The directory: all nodes, live or away; for the gateway's owner also those that ask to join."""
        return directory.nodes(self._transport)

    def find_node(self, name: str) -> DirectoryNode:
        """One node of the directory, by name or id; raises ``ObjectNotFoundError``."""
        return directory.find(self._transport, name)

    def witnessed(self, name: str) -> list[AuditHead]:
        """What a node signed of its audit log, day by day: for ``gridward audit verify --head``."""
        return directory.witnessed(self._transport, name)

    def node(self, name: str) -> NodeClient:
        """Reach a node by name or id, as ``user@grid``."""
        entry = self.find_node(name)
        return self._connect(entry.id, entry.name, entry.url)

    def approve(self, node: str, *, owner: str, takes_over: bool = False) -> DirectoryNode:
        """Take a node in (gateway's owner only). ``owner``: who owns it; no owner fills two roles.

        ``takes_over``: it stands in the place of a node that left and had its name; else the name stays kept.
        """
        return directory.decide(self._transport, node, approved=True, owner=owner, takes_over=takes_over)

    def refuse(self, node: str, *, owner: str = "unknown") -> DirectoryNode:
        """Refuse a node, or turn one out (gateway's owner only)."""
        return directory.decide(self._transport, node, approved=False, owner=owner)

    def model_node(self, model_id: str) -> NodeClient:
        """Reach the node that hosts a model; raises ``ObjectNotFoundError``."""
        entry = self._transport.fetch(ModelLocation, "GET", f"/v1/models/{segment(model_id)}").node
        return self._connect(entry.id, entry.name, entry.url)

    def query_model(self, id: str, x: torch.Tensor, *, mpc: bool = False) -> torch.Tensor:
        """Ask a hosted model. In the clear its node sees ``x``; with ``mpc=True`` nobody does."""
        if mpc:
            return self.ask_encrypted(id, x).output
        return models.query(self.model_node(id), id, x)

    def ask_encrypted(self, id: str, x: torch.Tensor) -> EncryptedAnswer:
        """Ask as ``query_model`` with ``mpc=True``, and say what it took."""
        return self._asker.ask(self.model_node(id), id, x)

    def prepared_queries(self, id: str, *, batch: int = 1, ahead: int = 1) -> PreparedQueries:
        """Ask one encrypted model again and again, with ``ahead`` queries of ``batch`` rows opened ahead.

        ``with grid.prepared_queries("diagnosis") as ask: answer = ask(x)``. Opening needs no input, so that a
        call waits only for what depends on it. Cost: each open query has spent a bundle at every party.
        """
        return self._asker.prepared(self.model_node(id), id, batch, ahead)

    def describe_model(self, id: str) -> ModelOut | EncryptedModel:
        """What may be known of a hosted model; of an encrypted one, who holds what and what a query costs."""
        return encrypted.describe_any(self.model_node(id), id)

    def train(
        self,
        model: torch.nn.Module,
        *,
        data: Iterable[DatasetPointer],
        rounds: int,
        loss: Loss | None = None,
        optimizer: Optimizer | None = None,
        inputs: str | None = None,
        targets: str | None = None,
        metrics: Mapping[str, Metric] | None = None,
        epochs: int = 1,
        batch_size: int = 64,
        seed: int = 0,
        schedule: RateSchedule | None = None,
        strategy: Strategy | None = None,
        deadline_s: float | None = None,
        quorum: int | float | None = None,
        wait_s: float = 0.0,
        validation: float = 0.0,
        patience: int | None = None,
        checkpoint: str | Path | bool = True,
        secure: bool | Secure = False,
        dp: None = None,
        progress: bool | None = None,
    ) -> TrainingResult:
        """Train a model over datasets of several nodes, one dataset a node; no row leaves its node.

        Every round each node trains ``epochs`` over its rows in batches of ``batch_size``, and ``strategy``
        (``gw.FedAvg()``, weighted by rows) joins the results. The given model stays as it is. ``loss``,
        ``optimizer``, ``inputs`` and ``targets`` may be left out as in ``RemoteModel.train``. ``progress``:
        None shows a bar on a terminal or in a notebook.

        A round ends when all nodes have answered, or ``deadline_s`` after its begin; nodes that are late or
        fail are left out and asked again next round. It counts if ``quorum`` nodes answered (3, or 0.5 of
        them; at least the strategy's ``min_nodes``); otherwise all are asked again for ``wait_s``.

        ``validation``, such as 0.1: each node holds out that part of its rows, on which no step trains, and
        judges every joint model on them; ``result.model`` is the best, else the last. ``patience``: so many
        rounds without a better one end the run. ``metrics``: functions of output and targets, told of the
        same rows. ``schedule``, such as ``gw.CosineDecay()``: the learning rate of each round.

        Every round is kept in a folder, for ``resume``: ``checkpoint`` names it; by default it is the run's
        own under your data folder, and goes when the run has ended; False keeps nothing. The gateway is told
        the numbers of every round (``run``, and its page), unless you may not begin runs there.

        Security: you see each node's trained parameters, which tell something of its rows; nodes see the
        joint parameters of every round. With ``secure=True``, or ``gw.Secure(clip=…)``, you see the sum of
        the nodes' updates only, and each node's loss to three digits, but with ``validation`` the last joint
        model's in full; rules that need single updates are refused. Nodes give an update of one lesson into
        one sum: the same run once more needs another ``seed``. ``dp`` raises ``NotAvailableYetError``.
        Cost: the parameters to and from every node, each round.
        Raises: ``TrainingError`` naming nodes and causes, if fewer nodes answer than ``strategy`` wants.
        """
        entry.refuse_unavailable(dp)
        return entry.train(
            model,
            data,
            recipe=Recipe(loss, optimizer, inputs, targets, metrics or {}),
            rounds=rounds,
            run=Run(epochs, batch_size, seed),
            strategy=strategy if strategy is not None else FedAvg(),
            terms=Terms(deadline_s, quorum, wait_s),
            choice=Choice(validation, patience),
            schedule=schedule if schedule is not None else Constant(),
            checkpoint=checkpoint,
            secure=secure,
            around=self._surroundings(model, progress),
        )

    def resume(
        self,
        run: str | Path,
        model: torch.nn.Module,
        *,
        strategy: Strategy | None = None,
        secure: bool | Secure = False,
        progress: bool | None = None,
    ) -> TrainingResult:
        """Go on with a run whose process ended, from its last checkpoint: by id, or by its folder.

        ``model``: any of the same kind; its values do not matter. ``strategy``: only where it is of your own
        making. ``secure=True`` where the run was secure: on the terms that it was started with. The result is
        that of an unbroken run; of a secure one, up to the order of rows in the round that was cut. Raises
        ``ObjectNotFoundError`` if there is none, ``ConflictError`` if another process drives it.
        """
        around = self._surroundings(model, progress)
        return entry.resume(run, model, place=self.node, strategy=strategy, secure=secure, around=around)

    def runs(self, limit: int = 100) -> list[FederatedRun]:
        """List your runs, the newest first; the gateway's owner sees everybody's."""
        return runs.listed(self._transport, limit)

    def run(self, id: str) -> FederatedRun:
        """Find a run, to watch it from anywhere, pause, resume or cancel it."""
        return runs.found(self._transport, id)

    def close(self) -> None:
        """Close all connections; the session lives on until it expires."""
        with self._lock:
            for node in self._nodes.values():
                node.close()
            self._nodes.clear()
        self._asker.close()
        self._transport.close()

    def sign_out(self) -> None:
        """End the session at the gateway and close."""
        if isinstance(self._transport.credentials, PasswordSession):
            self._transport.credentials.close()
        self.close()

    def _surroundings(self, model: torch.nn.Module, shown: bool | None) -> Surroundings:
        follower = GatewayFollower(self._transport, type(model).__name__)
        return Surroundings(self._last_seen, follower=follower, shown=shown)

    def _last_seen(self) -> dict[str, datetime | None]:
        try:
            return {node.name: node.last_seen_at for node in self.nodes()}
        except GridError:
            return {}

    def _place(self, hit: Hit) -> NodeClient:
        return self._connect(hit.node_id, hit.node_name, hit.node_url)

    def _connect(self, node_id: str, name: str, url: str) -> NodeClient:
        with self._lock:
            known = self._nodes.get(node_id)
            if known is None or known.url != url.rstrip("/"):
                identity = GatewayIdentity(self._transport, node_id)
                calls = self._transport.with_credentials(identity, url)
                known = self._nodes[node_id] = NodeClient(calls, id=node_id, name=name, gateway=self._facts)
            return known
