"""A provider and a party in one process, with a wire between them that a test may cut."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
from fastapi.testclient import TestClient

from gridward.api.main import create_app
from gridward.api.node import Node
from gridward.api.parties import records
from gridward.api.parties.calls import Calls
from gridward.api.parties.roles import Record, Role
from gridward.api.services import provider
from gridward.core.schemas.deployments import DeploymentDocument
from gridward.server import keys
from gridward.server.settings import NodeSettings
from tests.support.cast import NOW, Cast
from tests.unit.api.services.test_deployment_roles import RoleHolderUnderTest


class Answer:
    """An answer of the provider, of which the wire may lose the rest."""

    def __init__(self, inner: httpx2.Response, limit_bytes: int | None) -> None:
        self.inner = inner
        self.limit_bytes = limit_bytes
        self.is_success = inner.is_success
        self.status_code = inner.status_code

    @property
    def content(self) -> bytes:
        return self.inner.content

    def read(self) -> bytes:
        return self.inner.read()

    def iter_bytes(self) -> Iterator[bytes]:
        content = self.inner.content
        if self.limit_bytes is None or len(content) <= self.limit_bytes:
            yield content
            return
        yield content[: self.limit_bytes]
        raise httpx2.ReadError("cut off")


class Wire:
    """Stands where a party's HTTP client does. ``cuts`` says where the next answers break off, in bytes."""

    def __init__(self, http: TestClient) -> None:
        self.http = http
        self.cuts: list[int] = []
        self.down = False
        self.asked: list[tuple[str, str]] = []

    @contextmanager
    def stream(self, method: str, url: str, **rest: Any) -> Iterator[Answer]:
        path = httpx2.URL(url).path
        self.asked.append((path.rsplit("/", 1)[-1], rest["content"].decode()))
        if self.down:
            raise httpx2.ConnectError("refused")
        cut = self.cuts.pop(0) if self.cuts and path.endswith("bundles") else None
        rest.pop("timeout")
        yield Answer(self.http.request(method, path, **rest), cut)

    def close(self) -> None:
        """Nothing is open."""


class Pair:
    """A party and the provider of one deployment."""

    def __init__(self, folder: Path, party: RoleHolderUnderTest, dealer: RoleHolderUnderTest) -> None:
        self.folder, self.party, self.dealer = folder, party, dealer
        self.document: DeploymentDocument = party.document()
        for kind, holder in (("parties", party), ("provider", dealer)):
            assert holder.propose(kind, self.document).status_code == 200
        self.wire = Wire(dealer.http)
        self.calls = Calls(party.node.keys, self.wire, lambda: NOW)  # type: ignore[arg-type]
        party.node.calls = self.calls

    @property
    def record(self) -> Record:
        """The deployment as the party knows it."""
        return records.find(self.party.node, self.document.id, Role.PARTY)

    @property
    def dealt(self) -> Record:
        """The deployment as the provider knows it."""
        return records.find(self.dealer.node, self.document.id, Role.PROVIDER)

    def had(self) -> tuple[int, int]:
        """Say how many bundles, and bytes, the party had by the provider's account."""
        total = provider.shelf_of(self.dealer.node, self.dealt).had()[1]
        return total.count, total.amount


def settings_of(folder: Path, name: str, **changes: Any) -> NodeSettings:
    """Give the settings of a node that stands in for one of the cast, and make its folder and keys once."""
    settings = NodeSettings(
        data_dir=folder / f"node-{name}",
        offer_party=True,
        offer_provider=True,
        party_timeout_s=5,
        bundles_ahead=0,
        bundles_dealt_ahead=0,
    ).model_copy(update=changes)
    if not settings.data_dir.exists():
        keys.make(settings.data_dir)
    return settings


@contextmanager
def running(folder: Path, name: str, cast: Cast, **changes: Any) -> Iterator[RoleHolderUnderTest]:
    """Run a new node in the place of one of the cast."""
    with TestClient(create_app(settings_of(folder, name, **changes))) as http:
        yield RoleHolderUnderTest(cast, name, http)


@contextmanager
def restarted(folder: Path, name: str, **changes: Any) -> Iterator[Node]:
    """Run a node anew on the folder of one that ended."""
    with TestClient(create_app(settings_of(folder, name, **changes))) as http:
        yield http.app.state.server  # type: ignore[attr-defined]


@contextmanager
def pair(folder: Path, **changes: Any) -> Iterator[Pair]:
    """Run a party, ``public``, and a provider, ``university``, that took their roles."""
    cast = Cast(folder / "cast")
    with (
        running(folder, "public", cast, **changes) as party,
        running(folder, "university", cast, **changes) as dealer,
    ):
        yield Pair(folder, party, dealer)
